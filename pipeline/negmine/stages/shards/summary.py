"""What is said of shards that were written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from negmine.base.addresses import address_of
from negmine.base.console import Summary
from negmine.contract.shard_format import HELDOUT
from negmine.stages.shards.cut import batch_of
from negmine.stages.shards.settings import ShardSettings
from negmine.store import Manifest, load_manifest
from negmine.store.places import option
from negmine.store.work_folder import Stage


def summary(made: Mapping[str, Manifest], settings: ShardSettings, work: Path, out: Path) -> Summary:
    """The figures of each split, and how to train on them."""
    figures = {split: _figures(manifest) for split, manifest in made.items()}
    batch = f" --batch-size {batch_of(load_manifest(work / Stage.PLAN), work / Stage.PLAN)}" if settings.plan else ""
    train = f"ahnpl-train --shards {_tars_in(out)} --eval-shards {_tars_in(out / HELDOUT)}{batch}"
    if settings.sidecar:
        beside = next((manifest.spec.context.get("images") for manifest in made.values()), None)
        train += f" --images {option(str(beside))}"
    return Summary("negmine shard", "done", figures, {"written to": str(out)}, (train, f"negmine verify {option(out)}"))


def _figures(manifest: Manifest) -> dict[str, object]:
    tars = [file for part in manifest.parts for file in part.files]
    groups = {
        "negatives": "kind",
        "image negatives": "image_kind",
        "image negatives refused": "image_refused",
        "rejected": "rejected",
    }
    return {
        "shards": len(tars),
        "samples": sum(file.rows for file in tars),
        "MB": round(sum(file.bytes for file in tars) / 1e6, 1),
        **{name: manifest.counts.total_of(group) for name, group in groups.items()},
    }


def _tars_in(folder: Path) -> str:
    """The shards of a folder, for a shell, which has no part in patterns of addresses."""
    return option(folder / "*.tar") if address_of(folder) else f"{option(folder)}/*.tar"
