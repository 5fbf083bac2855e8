"""Encoders that a run brings along: its own checkpoint, features beside the images, as much of a GPU as there is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from negmine.base.errors import DamagedError, InputError, ResourceError, UsageError
from negmine.encoders import make_encoder
from negmine.encoders.base import in_batches
from negmine.engine.local import LocalEngine
from negmine.stages.neighbours.open_scorers import resolved
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.stage import retrieve
from safetensors.torch import save_file

from tests.pipeline.neighbours.conftest import pairs_of, table

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def write_checkpoint(folder: Path, seed: int) -> Any:
    """What ahnpl-train leaves, of an untrained model; returns the model."""
    from open_clip.model import CLIP

    torch.manual_seed(seed)
    model = CLIP(**TINY).eval()
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = {"size": [32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": preprocess}))
    return model


def test_mining_with_the_latest_checkpoint_of_a_run(small_work: Path, tmp_path: Path) -> None:
    import open_clip

    run = tmp_path / "run"
    write_checkpoint(run / "checkpoints" / "step-00000009", 1)
    model = write_checkpoint(run / "checkpoints" / "step-00000010", 2)
    retrieve(
        RetrieveSettings(("t2i",), encoder=f"checkpoint:{run}", candidates=2, neighbours=1), small_work, LocalEngine(1)
    )
    key = next(iter(pairs_of(small_work)))
    caption = pairs_of(small_work)[key]["caption"]
    with torch.inference_mode():
        text = model.encode_text(open_clip.get_tokenizer("ViT-B-32")([caption]), normalize=True)[0].numpy()
    stored = np.load(next(small_work.glob("embeddings/checkpoint*-text")) / "part-00000.npy")[0]
    np.testing.assert_allclose(stored, text, atol=1e-5)
    named = resolved(RetrieveSettings(("t2i", "i2i"), encoder=f"checkpoint:{run}", rerank="i2t"))
    assert all(score.endswith("step-00000010") for score in (*named.scores, str(named.rerank)))
    write_checkpoint(run / "checkpoints" / "step-00000011", 3)  # training goes on
    assert resolved(named) == named
    with pytest.raises(DamagedError, match=r"settings\.scores"):
        retrieve(
            RetrieveSettings(("t2i",), encoder=f"checkpoint:{run}", candidates=2, neighbours=1),
            small_work,
            LocalEngine(1),
        )
    with pytest.raises(UsageError, match="no checkpoint"):
        make_encoder(f"checkpoint:{tmp_path}/none", "text").identity()


def test_a_run_of_the_small_model_of_ours(tmp_path: Path) -> None:
    """Read in a process of its own: here timm has been told of its tower."""
    import negmine.encoders.towers  # noqa: F401
    import open_clip

    torch.manual_seed(3)
    model = open_clip.create_model("tiny-conv").eval()
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    config = json.dumps({"model_cfg": open_clip.get_model_config("tiny-conv")})
    (tmp_path / "open_clip_config.json").write_text(config)
    code = (
        "from negmine.encoders import make_encoder\n"
        f"encoder = make_encoder('checkpoint:{tmp_path}', 'text'); encoder.identity(); encoder.load()\n"
        "print(*encoder.encode(['a'], ['a dog on a mat'])[0])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    with torch.inference_mode():
        text = model.encode_text(open_clip.get_tokenizer("ViT-B-32")(["a dog on a mat"]), normalize=True)[0].numpy()
    np.testing.assert_allclose(np.array(said.split(), dtype=np.float32), text, atol=1e-5)


def test_a_checkpoint_that_names_code_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "run", 1)
    evil = {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}}
    body = {"model_cfg": {**TINY, "text_cfg": {**TINY["text_cfg"], **evil}}}  # type: ignore[dict-item]
    (tmp_path / "run" / "open_clip_config.json").write_text(json.dumps(body))
    (tmp_path / "run" / "tok.py").write_text(f"open({str(tmp_path / 'PWNED')!r}, 'w')")
    (tmp_path / "run" / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["tok.Tok", null]}}')
    encoder = make_encoder(f"checkpoint:{tmp_path}/run", "text")
    for enter in (encoder.identity, encoder.load):
        with pytest.raises(DamagedError, match="trust_remote_code"):
            enter()
    assert not (tmp_path / "PWNED").exists()


def test_weights_that_do_not_say_their_activation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The model's own tags say it for themselves, and a name with QuickGELU is another encoder."""
    import open_clip

    (tmp_path / "configs").mkdir()
    for name, quick in (("mined", {}), ("mined-quickgelu", {"quick_gelu": True})):
        (tmp_path / "configs" / f"{name}.json").write_text(json.dumps({**TINY, **quick}))
    open_clip.add_model_config(tmp_path / "configs")
    torch.save(open_clip.create_model("mined").state_dict(), tmp_path / "w.pt")
    vectors = []
    for name in ("mined", "mined-quickgelu"):
        encoder = make_encoder(f"open_clip:{name}:{tmp_path}/w.pt", "text")
        encoder.load()
        said = " ".join(capsys.readouterr().err.split())
        assert ("name mined-quickgelu instead" in said) == (name == "mined")
        vectors.append(encoder.encode(["a"], ["a dog on a mat"]))
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4
    assert "quick_gelu: false -> true" in make_encoder("open_clip:ViT-B-32:openai", "text").identity()
    assert "quick_gelu" not in make_encoder("open_clip:ViT-B-32:laion2b_e16", "text").identity()


def test_a_model_gone_wrong_is_noticed(small_work: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    write_checkpoint(tmp_path / "run", 1)
    weights = load_file(tmp_path / "run" / "open_clip_model.safetensors")
    weights["ln_final.weight"][:] = float("nan")
    save_file(weights, tmp_path / "run" / "open_clip_model.safetensors")
    with pytest.raises(InputError, match="zero or not finite"):
        retrieve(RetrieveSettings(encoder=f"checkpoint:{tmp_path}/run"), small_work, LocalEngine(1))


def test_places_are_compared_by_the_angle_between_them(small_work: Path, tmp_path: Path) -> None:
    keys = list(pairs_of(small_work))
    degrees = np.random.default_rng(0).uniform([-80, -180], [80, 180], (len(keys), 2))
    degrees[0], degrees[1] = (0, 179), (0, -179)  # two degrees apart, across the date line
    lines = [f"{key},{latitude},{longitude}" for key, (latitude, longitude) in zip(keys, degrees, strict=True)]
    (tmp_path / "places.csv").write_text("\n".join(["key,latitude,longitude", *lines]) + "\n")
    retrieve(RetrieveSettings((f"i2i:metadata:{tmp_path}/places.csv",), candidates=5), small_work, LocalEngine(1))
    encoder = make_encoder(f"metadata:{tmp_path}/places.csv", "image")
    encoder.load()
    rows = encoder.encode(keys[:2], keys[:2])
    assert np.degrees(np.arccos(rows[0] @ rows[1])) == pytest.approx(2, abs=1e-3)
    assert max(row["score"] for row in table(small_work / "neighbours")) <= 1 + 1e-6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,x\na,1\n", "add a column key"),
        ("key,x\na,nan\n", "missing or not finite"),
        ("key,x\nb,1\n", "are not in it"),
    ],
)
def test_bad_metadata(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "features.csv").write_text(text)
    encoder = make_encoder(f"metadata:{tmp_path}/features.csv", "text")
    with pytest.raises(InputError, match=message):
        encoder.load()
        encoder.encode(["a"], ["a"])


def test_batches_shrink_until_they_fit() -> None:
    sizes = []

    def encode(items: Any) -> Any:
        sizes.append(len(items))
        if len(items) > 20:
            raise torch.cuda.OutOfMemoryError
        return torch.tensor([[float(item), 1.0] for item in items])

    rows = in_batches(list(range(100)), encode, "cpu")
    assert sizes[:3] == [64, 32, 16]
    np.testing.assert_allclose(rows[:, 0] / rows[:, 1], range(100), rtol=1e-5)

    def hopeless(items: Any) -> Any:
        raise torch.cuda.OutOfMemoryError

    with pytest.raises(ResourceError, match="one item"):
        in_batches([1], hopeless, "cpu")


@pytest.mark.parametrize(
    ("rows", "keys", "says"),
    [
        ([[3e38, 3e38]], b"a\n", "zero or not finite"),  # each number is finite, and their length is not
        ([[1e-30, 1e-30]], b"a\n", "zero or not finite"),
        ([[0.0, 0.0]], b"a\n", "zero or not finite"),
        ([[np.nan, 1.0]], b"a\n", "zero or not finite"),
        ([[1.0, 1.0]], b"\xff\n", "UTF-8"),
    ],
)
def test_embeddings_that_cannot_be_compared(rows: list[list[float]], keys: bytes, says: str, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array(rows, np.float32))
    (tmp_path / "rows.keys").write_bytes(keys)
    encoder = make_encoder(f"npy:{tmp_path}/rows.npy", "text")
    with pytest.raises(InputError, match=says):
        encoder.load()
        encoder.encode(["a"], ["a"])
