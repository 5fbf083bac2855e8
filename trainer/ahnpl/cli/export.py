"""``ahnpl-export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from negmine.base import console
from negmine.base.options import Option
from negmine.store.places import on_disk

from ahnpl.cli.models import DEFAULT_RUN, START, AsJson, load_any, load_other, model_place


def export(
    checkpoint: Annotated[str, Option("A run or checkpoint folder.", parser=model_place)] = DEFAULT_RUN,
    out: Annotated[Path, Option("A .safetensors or .pt file, or a folder.", parser=on_disk)] = Path(
        "open_clip_model.safetensors"
    ),
    alpha: Annotated[float, Option("Share of the trained weights; the rest: the start's (WiSE-FT).")] = 1.0,
    start: Annotated[str, Option("What to merge with; `start`: what the run began with.", parser=model_place)] = START,
    overwrite: Annotated[bool, Option("Replace what is at --out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write weights that open_clip or transformers loads by itself, merged with the run's start if asked.

    ahnpl-export --checkpoint runs/ahnpl --out ahnpl.safetensors

    ahnpl-export --checkpoint runs/ahnpl --alpha 0.5 --out wise.safetensors
    """

    from ahnpl.model.export import export as write
    from ahnpl.model.export import merged

    model = load_any(checkpoint)
    if alpha != 1:
        model = merged(model, load_other(start, checkpoint), alpha)
    written = write(model, out, overwrite=overwrite)
    figures = {"share of the trained weights": alpha, "tensors": len(model.network.state_dict())}
    headline = f"weights of {checkpoint}" + ("" if alpha == 1 else f", merged with {start}")
    use = f"{written.imports}; {written.load}"
    console.show(console.Summary("ahnpl-export", headline, figures, {"weights": str(written.weights)}, (use,)), as_json)
