"""What a checkpoint says of itself is kept when it is continued, and is data: nothing of it is run or fetched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from ahnpl.cli.models import load_any
from ahnpl.model.clip import ClipModel, ModelSpec, load_checkpoint, load_model
from ahnpl.model.export import export
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import train
from ahnpl.training.plan import make_plan
from negmine.base.errors import DamagedError, ResourceError, UsageError
from negmine.encoders.clip_models import CONFIG_NAME, WEIGHTS_NAME, check_config, plan_model
from safetensors.torch import save_file

from tests.trainer.conftest import MICRO

SIGLIP = "ViT-B-16-SigLIP"


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with a name, GELU and a twin with QuickGELU, as ViT-B-32 has."""
    folder = tmp_path_factory.mktemp("configs")
    for name, quick in (("named-micro", False), ("named-micro-quickgelu", True)):
        (folder / f"{name}.json").write_text(json.dumps({**MICRO, **({"quick_gelu": True} if quick else {})}))
    open_clip.add_model_config(folder)
    return "named-micro"


def activations(model: ClipModel) -> set[str]:
    return {type(module).__name__ for module in model.network.modules() if "GELU" in type(module).__name__}


def write(folder: Path, network: torch.nn.Module, **config: Any) -> Path:
    """A folder that holds a model: its weights and its configuration."""
    folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / WEIGHTS_NAME)
    (folder / CONFIG_NAME).write_text(json.dumps({"model_cfg": MICRO, "preprocess_cfg": {}, **config}))
    return folder


class TestContinuing:
    @pytest.fixture
    def run(self, named: str, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A run of one step that began with a tag of QuickGELU weights, as ``ViT-B-32`` with ``openai`` does."""
        weights = tmp_path / "tag.pt"
        torch.save(open_clip.create_model(named, force_quick_gelu=True).state_dict(), weights)
        tag = {"quick_gelu": True, "file": str(weights), "url": "", "hf_hub": "", "mean": (0.5, 0.5, 0.5), "std": None}
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, named, {"standin": tag})
        config = TrainConfig(
            shards=(f"{shards}/*.tar",),
            recipe="clip",
            model=named,
            pretrained="standin",
            out=str(tmp_path / "run"),
            steps=1,
            batch_size=8,
            workers=0,
        )
        return train(make_plan(config)).checkpoint.parents[1]

    def test_from_its_folder_or_its_file(self, run: Path, named: str, capsys: pytest.CaptureFixture[str]) -> None:
        weights = run / "checkpoints" / "step-00000001" / WEIGHTS_NAME
        itself = load_checkpoint(weights.parent)
        assert activations(itself) == {"QuickGELU"}
        capsys.readouterr()
        for name, pretrained in ((named, run), (named, weights.parent), (named, weights)):
            again = load_model(ModelSpec(name, str(pretrained)))
            assert activations(again) == {"QuickGELU"}
            assert again.config == itself.config
            assert again.preprocess["mean"] == [0.5, 0.5, 0.5]
            assert "which counts: model_cfg.quick_gelu: false -> true" in " ".join(capsys.readouterr().err.split())
        assert activations(load_any(f"open_clip:{named}:{weights}")) == {"QuickGELU"}

    def test_an_exported_file_says_it_too(self, run: Path, named: str, tmp_path: Path) -> None:
        itself = load_checkpoint(run / "checkpoints" / "step-00000001")
        written = export(itself, tmp_path / "w.safetensors")
        again = load_model(ModelSpec(named, str(written.weights)))
        assert activations(again) == {"QuickGELU"} and again.preprocess["mean"] == [0.5, 0.5, 0.5]
        assert "force_quick_gelu=True" in written.load
        theirs = eval(written.load, {"open_clip": open_clip})
        assert theirs.visual.preprocess_cfg["mean"] == [0.5, 0.5, 0.5]

    def test_a_run_of_another_configuration_is_not_resumed(self, run: Path, named: str, shards: Path) -> None:
        """As when an earlier version built other layers for the same weights."""
        path = run / "checkpoints" / "step-00000001" / CONFIG_NAME
        body = json.loads(path.read_text())
        del body["model_cfg"]["quick_gelu"]
        path.write_text(json.dumps(body))
        config = TrainConfig(
            shards=(f"{shards}/*.tar",),
            recipe="clip",
            model=named,
            pretrained="standin",
            out=str(run),
            steps=1,
            batch_size=8,
            workers=0,
        )
        with pytest.raises(DamagedError, match="quick_gelu"):
            train(make_plan(config))

    def test_what_a_folder_reads_and_sees_counts(
        self, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        short = {**MICRO, "text_cfg": {**MICRO["text_cfg"], "context_length": 12}}  # type: ignore[dict-item]
        folder = write(
            tmp_path / "short",
            open_clip.create_model(named, force_context_length=12),
            model_cfg=short,
            preprocess_cfg={"resize_mode": "squash", "interpolation": "bilinear"},
        )
        model = load_model(ModelSpec(named, str(folder)))
        assert model.context_length == 12
        assert model.tokenizer()()(["a dog"]).shape == (1, 12)
        assert (model.preprocess["resize_mode"], model.preprocess["interpolation"]) == ("squash", "bilinear")
        assert "text_cfg.context_length: 77 -> 12" in " ".join(capsys.readouterr().err.split())

    def test_another_architecture_is_refused(self, named: str, tmp_path: Path) -> None:
        folder = write(tmp_path / "wide", torch.nn.Linear(1, 1), model_cfg={**MICRO, "embed_dim": 48})
        with pytest.raises(DamagedError, match="embed_dim: 32 -> 48"):
            load_model(ModelSpec(named, str(folder)))

    def test_weights_beside_a_folder_model_are_loaded(self, micro: str, tmp_path: Path) -> None:
        """open_clip itself ignores them."""
        network = load_model(ModelSpec(micro, seed=7)).network
        torch.save(network.state_dict(), tmp_path / "w.pt")
        loaded = load_model(ModelSpec(micro, str(tmp_path / "w.pt"), seed=1)).network
        assert torch.equal(loaded.visual.proj, network.visual.proj)  # type: ignore[union-attr]
        folder = write(tmp_path / "quick", network, model_cfg={**MICRO, "quick_gelu": True})
        with pytest.raises(DamagedError, match="quick_gelu: false -> true"):
            load_model(ModelSpec(micro, str(folder)))


class TestFiles:
    """Weights that say nothing of themselves."""

    def file(self, tmp_path: Path, name: str) -> str:
        torch.save(open_clip.create_model(name).state_dict(), tmp_path / "w.pt")
        return str(tmp_path / "w.pt")

    def test_a_twin_is_named(self, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = self.file(tmp_path, named)
        assert activations(load_model(ModelSpec(named, file))) == {"GELU"}
        assert "name named-micro-quickgelu instead" in " ".join(capsys.readouterr().err.split())
        assert activations(load_model(ModelSpec(f"{named}-quickgelu", file))) == {"QuickGELU"}
        assert not capsys.readouterr().err

    @pytest.mark.parametrize(
        ("name", "pixels"),
        [
            (SIGLIP, {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}),
            ("MobileCLIP-B", {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear"}),
            ("ViT-B-32", {}),
        ],
    )
    def test_pixels_are_those_of_the_models_own_weights(
        self, name: str, pixels: dict[str, Any], tmp_path: Path
    ) -> None:
        (tmp_path / "w.pt").touch()
        plan = plan_model(name, str(tmp_path / "w.pt"))
        assert plan.preprocess_cfg == pixels
        assert any("are prepared as for open_clip's own weights" in remark for remark in plan.remarks) == bool(pixels)

    def test_own_weights_that_disagree(self, tmp_path: Path) -> None:
        (tmp_path / "w.pt").touch()
        plan = plan_model("ViT-L-14", str(tmp_path / "w.pt"))
        assert plan.preprocess_cfg == {} and any("can say another" in remark for remark in plan.remarks)

    def test_pixels_may_be_given(self, named: str, tmp_path: Path, shards: Path) -> None:
        given = tmp_path / "pixels.json"
        given.write_text(json.dumps({"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "resize_mode": "squash", "size": 99}))
        config = TrainConfig(
            shards=(f"{shards}/*.tar",),
            recipe="clip",
            model=named,
            pretrained=self.file(tmp_path, named),
            steps=1,
            batch_size=8,
            workers=0,
            out=str(tmp_path / "run"),
            preprocess=str(given),
        )
        kept = load_checkpoint(train(make_plan(config)).checkpoint)
        assert kept.preprocess["mean"] == [0.1, 0.2, 0.3]
        assert kept.image_size == 32  # the tower's
        assert kept.transform().transforms[0].size == (32, 32)  # type: ignore[attr-defined]

    @pytest.mark.parametrize("body", ["[]", '{"mean": 3}', '{"std": [0, 1, 1]}', '{"men": [1, 1, 1]}', "{", "\xff"])
    def test_pixels_that_are_none(self, body: str, tmp_path: Path, shards: Path) -> None:
        (tmp_path / "pixels.json").write_text(body, encoding="latin-1")
        config = TrainConfig(shards=(f"{shards}/*.tar",), preprocess=str(tmp_path / "pixels.json"))
        with pytest.raises(UsageError, match=r"pixels\.json"):
            make_plan(config)


EVIL: dict[str, Callable[[dict[str, Any]], object]] = {
    "trust_remote_code": lambda text: text.update(hf_tokenizer_name="x", tokenizer_kwargs={"trust_remote_code": True}),
    "tokenizer_file": lambda text: text.update(tokenizer_kwargs={"tokenizer_file": "/etc/passwd"}),
    "hf_model_name": lambda text: text.update(hf_model_name="someone/model"),
    "pool": lambda text: text.update(pool=["tok.py"]),
    "context_length": lambda text: text.update(context_length={"a": 1}),
}


class TestHostile:
    """A folder from a stranger: JSON that names code or places is refused, whichever way it comes in."""

    def evil(self, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
        text: dict[str, Any] = dict(MICRO["text_cfg"])  # type: ignore[call-overload]
        change(text)
        made = write(folder, load_model(ModelSpec("tiny")).network, model_cfg={**MICRO, "text_cfg": text})
        (made / "tok.py").write_text(f"open({str(folder / 'PWNED')!r}, 'w')\nclass Tok:\n    pass\n")
        auto = {"AutoTokenizer": ["tok.Tok", "tok.Tok"]}
        (made / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Tok", "auto_map": auto}))
        (made / "config.json").write_text(json.dumps({"model_type": "x", "auto_map": {"AutoConfig": "tok.Tok"}}))
        return made

    @pytest.mark.parametrize("key", EVIL)
    def test_unknown_keys_and_values(self, key: str, tmp_path: Path, named: str) -> None:
        folder = self.evil(tmp_path / "evil", EVIL[key])
        for load in (
            lambda: load_any(str(folder)),
            lambda: load_model(ModelSpec(f"local-dir:{folder}")),
            lambda: load_model(ModelSpec(named, str(folder))),
            lambda: load_model(ModelSpec(named, str(folder / WEIGHTS_NAME))),
        ):
            with pytest.raises(DamagedError, match=key):
                load()
        assert not (folder / "PWNED").exists()

    def test_code_in_a_tokenizers_files(self, tmp_path: Path) -> None:
        """The name of a tokenizer alone is well; its files are then data or nothing."""
        folder = self.evil(tmp_path / "evil", lambda text: text.update(hf_tokenizer_name="x"))
        tokenizer = ClipModel.tokenizer(_Named(f"local-dir:{folder}", {"hf_tokenizer_name": "x"}))  # type: ignore[arg-type]
        with pytest.raises(DamagedError, match="tokenizer of this folder"):
            tokenizer()
        assert not (folder / "PWNED").exists()
        shutil.rmtree(folder)
        folder.mkdir()
        with pytest.raises(DamagedError, match="none of open_clip's"):
            tokenizer()

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "[]",
            "{}",
            '{"model_cfg": 3}',
            '{"model_cfg": {"embed_dim": 3}}',
            "[" * 100_000,
            json.dumps({"model_cfg": {**MICRO, "output_dict": True}}),
            json.dumps({"model_cfg": {**MICRO, "vision_cfg": {"timm_model_name": "hf-hub:someone/model"}}}),
            json.dumps({"model_cfg": {**MICRO, "vision_cfg": {"timm_model_name": "local-dir:/tmp"}}}),
            json.dumps({"model_cfg": {**MICRO, "embed_dim": float("nan")}}),
            json.dumps({"model_cfg": {**MICRO, "vision_cfg": {"norm_kwargs": {"eps": {"a": 1}}}}}),
            json.dumps({"model_cfg": MICRO, "preprocess_cfg": {"mean": "x"}}),
            json.dumps({"model_cfg": MICRO, "preprocess_cfg": {"size": 10**9}}),
        ],
    )
    def test_what_is_no_configuration(self, body: str) -> None:
        with pytest.raises(DamagedError, match=r"here\.json"):
            check_config(body, "here.json")

    @pytest.mark.parametrize(
        ("tower", "key", "values"),
        [
            ("vision_cfg", "image_size", [None, 0, -1, 1.5, True, "x", [], [64, 32], [64, 64, 64], 10**12, 10**400]),
            ("vision_cfg", "output_tokens", [None, 0, "no", [], 10**400]),
            ("vision_cfg", "norm_kwargs", [3, "x", {"eps": 10**400}]),
            ("text_cfg", "layers", [None, "2", 2.0, True, 10**6, 10**12]),
            ("text_cfg", "tokenizer_kwargs", [1, True, "x", [1]]),
            ("text_cfg", "hf_tokenizer_name", [0, []]),
            (None, "quick_gelu", ["no", 1, None]),
            (None, "embed_dim", [10**400, "64", None, 10**9]),
        ],
    )
    def test_values_of_another_kind(self, tower: str | None, key: str, values: list[Any]) -> None:
        for value in values:
            model = json.loads(json.dumps(MICRO))
            (model[tower] if tower else model)[key] = value
            with pytest.raises(DamagedError, match=key):
                check_config(json.dumps({"model_cfg": model}), "here.json")

    def test_weights_without_a_tensor(self, micro: str, tmp_path: Path) -> None:
        shutil.copytree(micro.removeprefix("local-dir:"), tmp_path / "none")
        save_file({}, tmp_path / "none" / WEIGHTS_NAME)
        with pytest.raises(DamagedError, match="do not fit"):
            load_model(ModelSpec(f"local-dir:{tmp_path / 'none'}"))

    def test_every_model_of_open_clip_may_be_kept(self) -> None:
        for name in open_clip.list_models():
            check_config(json.dumps({"model_cfg": open_clip.get_model_config(name)}), name)


class _Named:
    """As much of a model as its tokenizer asks for."""

    def __init__(self, name: str, text: dict[str, Any]) -> None:
        self.spec, self.config = ModelSpec(name), {"model_cfg": {"text_cfg": text}}


def test_a_tokenizer_that_must_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ResourceError, match=r"could not download the tokenizer(.|\n)*HF_HOME"):
        load_model_tokenizer(SIGLIP)


def load_model_tokenizer(name: str) -> object:
    from ahnpl.model.clip import load_tokenizer

    return load_tokenizer(name)
