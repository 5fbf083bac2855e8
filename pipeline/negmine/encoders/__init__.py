"""Encoders by name: captions or images in, unit vectors out.

===========================  ===========  ===============================================================
name                         reads        what it is
===========================  ===========  ===============================================================
``minilm``                   text         all-MiniLM-L6-v2, from a package; no download
``lite0``                    image        EfficientNet-Lite0 features, from a package; no download
``open_clip:MODEL[:WEIGHTS]``  text, image  any open_clip model; weights: a pretrained tag or a local file
``checkpoint:RUN``           text, image  the model of an ahnpl-train run or checkpoint
``metadata:FILE``            text, image  latitude and longitude, or other numbers, by key; no model
``npy:FILE.npy``             text, image  ready embeddings; ``FILE.keys`` has the key of each row, one a line
===========================  ===========  ===============================================================
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.encoders.base import Encoder, Modality
from negmine.store.places import local, source

ENCODERS: Final = {
    "minilm": "negmine.encoders.minilm:MiniLM",
    "lite0": "negmine.encoders.lite0:Lite0",
    "open_clip": "negmine.encoders.openclip:OpenClip",
    "checkpoint": "negmine.encoders.checkpoint:Checkpoint",
    "metadata": "negmine.encoders.metadata:Metadata",
    "npy": "negmine.encoders.npy:Ready",
}
"""Family name to class; a class is imported when it is asked for."""

DEFAULTS: Final[dict[Modality, str]] = {"text": "minilm", "image": "lite0"}


def pinned(name: str) -> str:
    """The name of what a source's name means now and here: files by absolute paths, of a run its latest checkpoint."""
    family, _, argument = name.partition(":")
    if family == "checkpoint":
        from negmine.encoders.checkpoint import latest

        return f"{family}:{latest(Path(source(argument)))}"
    if family in ("metadata", "npy"):
        return f"{family}:{source(argument)}"
    before, colon, last = argument.partition(":") if family == "open_clip" else argument.rpartition(":")
    if family == "open_clip" and last and local(last).is_file():
        return f"{family}:{before}:{source(last)}"
    return f"{family}:{source(before)}{colon}{last}" if family == "cross" and before else name


def make_encoder(name: str, modality: Modality) -> Encoder:
    """An encoder that has not loaded anything yet.

    Raises:
        UsageError: an unknown name, or an encoder that does not read this modality.
    """
    family, _, argument = name.partition(":")
    module, _, attribute = ENCODERS[pick("encoder", family, ENCODERS)].partition(":")
    encoder: Encoder = getattr(import_module(module), attribute)(argument, modality)
    if modality not in encoder.modalities:
        raise UsageError(f"encoder {name} does not read {modality}s", fix="choose another encoder, or --score")
    return encoder
