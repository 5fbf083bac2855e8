"""Each family of models from training to evaluation, and one table of it in docs/train.md."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.multiprocessing as mp
from ahnpl.cli.models import load_any
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.settings import Settings
from ahnpl.evaluation.tasks import score_shards
from ahnpl.model.checkpoint import list_checkpoints
from ahnpl.model.clip import ClipModel, load_checkpoint
from ahnpl.model.export import export
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import train
from ahnpl.training.plan import make_plan
from negmine.base.errors import UsageError
from negmine.contract.training_runs import read_metrics
from negmine.encoders.clip_models import WEIGHTS_NAME
from open_clip.transform import PreprocessCfg, image_transform_v2

from tests.trainer.conftest import draw
from tests.trainer.families import FAMILIES, Family, tell_open_clip, write_hub
from tests.trainer.test_ranks import free_port

DOCS = Path(__file__).parents[2] / "docs" / "train.md"
TEXTS = ["a red circle on the left", "a blue square on the right", "a red"]
STEPS = 3
QUICK = ("RN", "SigLIP")
"""Of each kind of trouble: batch normalisation, and a tokenizer, pixels and a bias of its own."""


@dataclass(frozen=True)
class Place:
    """Where a family's runs lie."""

    folder: Path
    shards: Path

    def config(self, family: Family, out: str, **options: Any) -> TrainConfig:
        """Of a run of three steps from a weights file that says nothing of itself."""
        return TrainConfig(
            shards=(f"{self.shards}/*.tar",),
            recipe="siglip_hard" if "SigLIP" in family.like else "negclip",
            model=family.name,
            pretrained=str(self.folder / "start.pt"),
            out=str(self.folder / out),
            steps=STEPS,
            batch_size=16,
            canonical_ranks=2,
            lr=1e-4,
            workers=0,
            log_every=1,
            save_every=1,
            keep=9,
            **options,
        )


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(run) if "loss" in row]


def go_through(rank: int, names: Sequence[str], ports: Sequence[int], folder: str, shards: str) -> None:
    """Two processes take each family through together, then one of them what one process does."""
    torch.set_num_threads(1)
    tell_open_clip(Path(folder) / f"configs-{rank}")
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    for number, name in enumerate(names):
        family, place = FAMILIES[name], Place(Path(folder) / name, Path(shards))
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
        write_start(family, place, rank)
        refused = is_refused(family, place, ports[2 * number])
        train_together(family, place, ports[2 * number + 1])
        if rank == number % 2:
            del os.environ["RANK"], os.environ["WORLD_SIZE"]
            found = {"refused": refused, **alone(family, place)}
            (place.folder / "found.json").write_text(json.dumps(found))


def is_refused(family: Family, place: Place, port: int) -> bool:
    """Whether two processes refuse a model with batch normalisation, as they should on a CPU."""
    if not family.normalises:
        return False
    os.environ["MASTER_PORT"] = str(port)
    with pytest.raises(UsageError, match="on a CPU no process sees the others' images"):
        train(make_plan(place.config(family, "refused")))
    return True


def train_together(family: Family, place: Place, port: int) -> None:
    os.environ["MASTER_PORT"] = str(port)
    train(make_plan(place.config(family, "two", lock="image" if family.normalises else None)))


def write_start(family: Family, place: Place, rank: int) -> None:
    """The weights that all runs of a family begin with; both processes write the same."""
    place.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = open_clip.create_model(family.name, pretrained_text=False)
    partial = place.folder / f"start-{rank}"
    torch.save(network.state_dict(), partial)
    partial.rename(place.folder / "start.pt")


def alone(family: Family, place: Place) -> dict[str, Any]:
    """What one process does with a family, as figures."""
    config = place.config(family, "one", lock="image" if family.normalises else None)
    train(make_plan(config))
    one, two = losses(place.folder / "one"), losses(place.folder / "two")
    last = list_checkpoints(place.folder / "one")[-1]

    again = Path(shutil.copytree(place.folder / "one", place.folder / "again"))
    for checkpoint in list_checkpoints(again)[1:]:  # as if it had been killed after the first
        shutil.rmtree(checkpoint)
    train(make_plan(replace(config, out=str(again))))
    resumed = list_checkpoints(again)[-1] / WEIGHTS_NAME

    model = load_checkpoint(last).eval()
    written = {out: export(model, place.folder / out) for out in ("model", "weights.safetensors")}
    theirs = {out: eval(one.load, {"open_clip": open_clip}) for out, one in written.items()}
    report = [
        score_shards(open_shards([f"{place.shards}/00000.tar"]), load_any(str(path)), Settings())
        for path in (place.folder / "one", place.folder / "model")
    ]
    places = family.name, f"local-dir:{place.folder / 'model'}", f"local-dir:{last}"
    return {
        "losses": [one, two],
        "resumed": [losses(again) == one, resumed.read_bytes() == (last / WEIGHTS_NAME).read_bytes()],
        "differences": {out: compared(model, made) for out, made in theirs.items()},
        "tokens": [tokenizer_agrees(model, name) for name in places],
        "pixels": {key: model.preprocess[key] for key in ("mean", "std", "interpolation", "resize_mode")},
        "scored": [one.micro.share for one in report],
        "captions": report[0].captions,
    }


def compared(model: ClipModel, network: Any) -> list[float]:
    """Largest difference of pixels, of image features and of text features from what open_clip's own functions give."""
    picture = draw("red", "circle", "left").resize((120, 80))
    ours = torch.from_numpy(np.array(model.transform()(picture))).permute(2, 0, 1)[None]
    pixels = image_transform_v2(PreprocessCfg(**network.visual.preprocess_cfg), is_train=False)(picture)[None]
    tokens = model.tokenizer()()(TEXTS)
    network.eval()
    with torch.no_grad():
        return [
            float((pixels - (ours / 255 - model.mean) / model.std).abs().max()),
            float((network.encode_image(pixels, normalize=True) - model.encode_image(ours)).abs().max()),
            float((network.encode_text(tokens, normalize=True) - model.encode_text(tokens)).abs().max()),
        ]


def tokenizer_agrees(model: ClipModel, name: str) -> bool:
    return torch.equal(open_clip.get_tokenizer(name)(TEXTS), model.tokenizer()()(TEXTS))


@dataclass(frozen=True)
class Found:
    """What a family gave, with what is to be equal in it."""

    family: Family
    figures: dict[str, Any]

    def check(self) -> None:
        found = self.figures
        one, two = found["losses"]
        assert len(one) == STEPS and two == pytest.approx(one, rel=1e-5)
        assert found["refused"] == self.family.normalises
        assert found["resumed"] == [True, True]  # losses, and bytes of the weights
        for pixels, images, texts in found["differences"].values():
            assert pixels < 1e-6 and images < 1e-6 and texts < 1e-6
        assert found["tokens"] == [True, True, True]
        assert found["captions"] and found["scored"][0] == found["scored"][1]

    def row(self, name: str) -> str:
        """Its row of the table."""
        told, together = self.figures["pixels"], "equal"
        if self.family.normalises:
            together = "equal with `--lock image`, else refused on CPUs"
        elif name == "roberta":
            together = "equal without its dropout"
        pixels = f"{told['mean'][0]:.3g} {told['std'][0]:.3g} {told['interpolation']} {told['resize_mode']}"
        return f"| {name} | `{self.family.like}` | {together} | {pixels} |"


def run(names: Sequence[str], folder: Path, shards: Path) -> dict[str, Found]:
    """Take families through in two processes that find tokenizers in a cache of the hub."""
    write_hub(folder / "hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(folder / "hub"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        arguments = (names, [free_port() for _ in range(2 * len(names))], str(folder), str(shards))
        mp.spawn(go_through, arguments, nprocs=2)  # type: ignore[no-untyped-call]
    return {name: Found(FAMILIES[name], json.loads((folder / name / "found.json").read_text())) for name in names}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(QUICK, id="quick"),
        pytest.param([name for name in FAMILIES if name not in QUICK], id="rest", marks=pytest.mark.full),
    ],
)
def test_from_training_to_evaluation(names: Sequence[str], shards: Path, tmp_path: Path) -> None:
    docs = DOCS.read_text()
    for name, found in run(names, tmp_path, shards).items():
        found.check()
        assert found.row(name) in docs


def test_the_table_has_every_family() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.endswith((" shortest |", " squash |"))]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(FAMILIES)
