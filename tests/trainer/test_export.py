"""Weights for others: open_clip loads them, and gives the features that we give; merged ones lie in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from ahnpl.model.clip import ClipModel, ModelSpec, load_checkpoint, load_model, load_tokenizer
from ahnpl.model.export import SUFFIXES, export, load_start, merge, merged, start_of
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import train
from ahnpl.training.plan import make_plan
from negmine.base.errors import DamagedError, InputError, UsageError
from negmine.store.files import temporary_name

from tests.trainer.conftest import MICRO


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps of `tiny`."""
    out = tmp_path_factory.mktemp("export") / "run"
    config = TrainConfig(
        shards=(f"{shards}/*.tar",),
        recipe="clip",
        out=str(out),
        steps=2,
        batch_size=8,
        lr=1e-2,
        warmup=0,
        workers=0,
        seed=5,
    )
    train(make_plan(config))
    return out


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def trained(run: Path) -> ClipModel:
    return load_checkpoint(run / "checkpoints" / "step-00000002").eval()


def features(network: torch.nn.Module, model: ClipModel) -> torch.Tensor:
    """Text and image features as open_clip computes them."""
    pixels = torch.rand(2, 3, model.image_size, model.image_size, generator=torch.Generator().manual_seed(0))
    tokens = load_tokenizer("tiny")(["a red circle", "a blue square on the left"])
    with torch.no_grad():
        return torch.cat([network.encode_image(pixels), network.encode_text(tokens)])  # type: ignore[operator]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_open_clip_loads_the_file(trained: ClipModel, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    export(trained, path)
    theirs = open_clip.create_model("tiny", pretrained=str(path)).eval()
    assert torch.equal(features(theirs, trained), features(trained.network, trained))


@pytest.mark.parametrize(
    ("name", "out", "told_of_us"),
    [("tiny", "model", False), ("tiny", "w.pt", True), ("tiny-conv", "model", True), ("tiny-conv", "w.pt", True)],
)
def test_another_process_loads_it(name: str, out: str, told_of_us: bool, tmp_path: Path) -> None:
    """With the very words that the command prints."""
    model = load_model(ModelSpec(name, seed=3))
    written = export(model, tmp_path / out)
    code = f"{written.imports}; model = {written.load}; print(sum(p.double().sum().item() for p in model.parameters()))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert ("negmine.encoders.towers" in code) == told_of_us
    ours = sum(p.double().sum().item() for p in model.network.parameters())
    assert float(done.stdout) == pytest.approx(ours, rel=1e-12)


def test_weights_made_for_quick_gelu_are_loaded_with_it(tmp_path: Path) -> None:
    """Exactly as the command says; without its words the same file gives other features."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "quick-micro.json").write_text(json.dumps(MICRO))
    open_clip.add_model_config(tmp_path / "configs")
    model = load_model(ModelSpec("quick-micro"))
    model.network = open_clip.create_model("quick-micro", force_quick_gelu=True).eval()
    model.config["model_cfg"]["quick_gelu"] = True
    written = export(model, tmp_path / "w.pt")
    assert written.load.startswith('open_clip.create_model("quick-micro", pretrained=')
    theirs = eval(written.load, {"open_clip": open_clip}).eval()
    assert torch.equal(features(theirs, model), features(model.network, model))
    without = open_clip.create_model("quick-micro", pretrained=str(written.weights)).eval()
    assert not torch.equal(features(without, model), features(model.network, model))


class TestMerge:
    def test_the_ends_are_exact_and_the_middle_lies_between(self, run: Path, trained: ClipModel) -> None:
        start, end = load_start(run).network.state_dict(), trained.network.state_dict()
        for alpha, expected in ((0.0, start), (1.0, end)):
            found = merge(start, end, alpha)
            assert all(torch.equal(found[name], expected[name]) for name in expected)
        quarter = merge(start, end, 0.25)
        name = "visual.proj"
        torch.testing.assert_close(quarter[name], 0.75 * start[name] + 0.25 * end[name])
        assert not torch.equal(start[name], end[name])

    def test_the_start_of_a_run_is_what_it_recorded(self, run: Path) -> None:
        assert start_of(run) == ModelSpec("tiny", None, 5)
        recorded, made = (
            load_start(run).network.state_dict(),
            load_model(ModelSpec("tiny", seed=5)).network.state_dict(),
        )
        assert all(torch.equal(recorded[name], made[name]) for name in made)

    def test_merged_weights_are_loaded_by_open_clip(self, run: Path, trained: ClipModel, tmp_path: Path) -> None:
        halfway = merged(trained, load_start(run), 0.5)
        path = tmp_path / "wise.safetensors"
        export(halfway, path)
        theirs = open_clip.create_model("tiny", pretrained=str(path))
        assert all(torch.equal(t, halfway.network.state_dict()[name]) for name, t in theirs.state_dict().items())

    def test_another_model_is_refused(self, trained: ClipModel, micro: str) -> None:
        with pytest.raises(DamagedError, match=r"tensors differ, such as \S+: "):
            merged(trained, load_model(ModelSpec(micro)), 0.5)

    @pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
    def test_alpha_is_a_share(self, alpha: float) -> None:
        with pytest.raises(UsageError, match="--alpha"):
            merge({}, {}, alpha)


class TestRefusals:
    def test_weights_that_are_not_finite(self, trained: ClipModel, tmp_path: Path) -> None:
        with torch.no_grad():
            trained.network.logit_scale.fill_(float("inf"))  # type: ignore[operator,union-attr]
        with pytest.raises(InputError, match=r"1 tensors are not finite(.|\n)*logit_scale"):
            export(trained, tmp_path / "w.pt")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("out", ["model", "w.pt", "w.safetensors"])
    def test_a_killed_run_of_the_same_command_is_taken_up(
        self, trained: ClipModel, tmp_path: Path, out: str, gone: int
    ) -> None:
        export(trained, tmp_path / out)
        made = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        weights = max(made, key=lambda path: len(made[path]))
        export(trained, tmp_path / out, overwrite=False)  # it was killed after the last byte
        weights.rename(weights.with_name(temporary_name(weights.name).replace(str(os.getpid()), str(gone))))
        export(trained, tmp_path / out, overwrite=False)
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == made

    @pytest.mark.parametrize("out", ["model", "w.pt", "w.safetensors"])
    def test_something_else_is_there(self, trained: ClipModel, tmp_path: Path, out: str) -> None:
        export(trained, tmp_path / out)
        with torch.no_grad():
            next(trained.network.parameters()).add_(1)
        with pytest.raises(UsageError, match="something else is there"):
            export(trained, tmp_path / out, overwrite=False)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "thesis.txt").touch()
        with pytest.raises(UsageError, match="something else is there"):
            export(trained, tmp_path / "other", overwrite=False)

    def test_other_suffixes(self, trained: ClipModel, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="safetensors"):
            export(trained, tmp_path / "w.ckpt")

    def test_a_model_without_a_name_goes_into_a_folder(self, micro: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="folder"):
            export(load_model(ModelSpec(micro)), tmp_path / "w.pt")

    def test_a_checkpoint_without_its_run(self, run: Path, tmp_path: Path) -> None:
        alone = shutil.copytree(run / "checkpoints" / "step-00000002", tmp_path / "a" / "b" / "step")
        with pytest.raises(UsageError, match=r"run\.json"):
            start_of(alone)
