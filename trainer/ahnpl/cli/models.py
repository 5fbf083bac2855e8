"""The models that the commands name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from negmine.base.options import Option
from negmine.store.places import named, on_disk

if TYPE_CHECKING:
    from ahnpl.model.clip import ClipModel

START: Final = "start"
"""A name for the model that a run began with."""

DEFAULT_RUN: Final = "runs/tiny-ahnpl"
"""The run that the commands are about if none is named."""

AsJson = Annotated[bool, Option("Print one JSON document instead of a table.", name="json")]
Preprocess = Annotated[
    Path | None,
    Option("JSON with mean, std, interpolation, resize_mode.", parser=on_disk, unset="as the weights say"),
]


def model_place(text: str) -> str:
    """A name of a model: a path in its place."""
    return named(text, "hf:")


def load_any(checkpoint: str, preprocess: Path | None = None) -> ClipModel:
    """The model that ``--checkpoint`` means, on the best device there is.

    Args:
        preprocess: see ``--preprocess``.
    """
    import torch
    from negmine.base.errors import UsageError
    from negmine.encoders.clip_models import read_preprocess
    from negmine.encoders.hugging_face import FAMILY

    from ahnpl.model.checkpoint import STATE_NAME, find_checkpoint, place_of, read_state
    from ahnpl.model.clip import HUB, ModelSpec, load_model

    pixels = None if preprocess is None else read_preprocess(preprocess)
    source, _, rest = checkpoint.partition(":")
    if source == "init":
        name, _, seed = rest.partition(":")
        if seed and not (seed.isdecimal() and len(seed) < 19):
            raise UsageError(f"{seed!r} is no seed", where=checkpoint, fix="init:MODEL or init:MODEL:NUMBER")
        model = load_model(ModelSpec(name, None, int(seed or 0), pixels))
    elif source == "open_clip":
        name, _, pretrained = rest.partition(":")
        model = load_model(ModelSpec(name, pretrained or None, preprocess=pixels))
    elif checkpoint.startswith((FAMILY, HUB)):
        model = load_model(ModelSpec(checkpoint, preprocess=pixels))
    else:
        folder = find_checkpoint(Path(checkpoint))
        if (folder / STATE_NAME).is_file():
            read_state(folder)  # refuses a checkpoint of another version
        model = load_model(ModelSpec(place_of(folder), preprocess=pixels))
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def load_other(name: str, checkpoint: str) -> ClipModel:
    """The model that ``--against`` or ``--start`` means: ``start`` is what the run of `checkpoint` began with."""
    from ahnpl.model.export import load_start

    if name != START:
        return load_any(name)
    model = load_start(Path(checkpoint))
    import torch

    return model.to("cuda" if torch.cuda.is_available() else "cpu")
