"""Models: packed text is exact, names and weights are checked, checkpoints are open_clip's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from ahnpl.data.decode import Decoder
from ahnpl.data.shards import open_shards
from ahnpl.data.stream import Stream
from ahnpl.losses import Features, build_loss
from ahnpl.model.clip import ClipModel, ModelSpec, load_model, load_tokenizer, parameter_counts
from ahnpl.training.memory import estimate_memory, trial_batch
from ahnpl.training.mfu import FlopMeter, known_peak
from ahnpl.training.plan import _auto_precision
from negmine.base.errors import DamagedError, Exit, UsageError, is_out_of_memory
from open_clip.model import CLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from tests.trainer.conftest import make_batch, make_long_sample, texts_only, write_shards

CAPTIONS = ["", "a dog", "a black dog chases a white cat !!!", "two red chairs, beside a table", "a dog"]
LONG = "a very long caption " * 30


@pytest.fixture(scope="module")
def tiny() -> ClipModel:
    return load_model(ModelSpec("tiny", seed=1)).eval()


MANY = [f"{n} " + "word " * (n % 17) for n in range(150)]


@pytest.mark.parametrize("captions", [CAPTIONS, [*CAPTIONS, LONG], [""], MANY])
def test_packed_text_is_exact(tiny: ClipModel, captions: list[str]) -> None:
    tokens = load_tokenizer("tiny")(captions)
    assert tokens.shape[1] == 77
    results = []
    for encode in (lambda: tiny.encode_text(tokens), lambda: tiny.network.encode_text(tokens, normalize=True)):
        tiny.zero_grad()
        features = encode()
        (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().div(len(captions)).backward()
        gradient = {name: p.grad.clone() for name, p in tiny.network.named_parameters() if p.grad is not None}
        results.append((features.detach(), gradient))
    (ours, our_gradient), (theirs, their_gradient) = results
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert our_gradient.keys() == their_gradient.keys()
    for name, gradient in our_gradient.items():
        torch.testing.assert_close(gradient, their_gradient[name], atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("pool", ["argmax", "eos"])
def test_packed_text_is_exact_without_gradient(pool: str) -> None:
    """torch takes other ways through attention there."""
    config = {"width": 32, "heads": 2, "layers": 2, "pool_type": pool, "eos_id": 49407}
    network = CLIP(32, {"layers": 1, "width": 64, "patch_size": 16, "image_size": 32}, config).eval()
    model = ClipModel(ModelSpec("tiny"), network, load_model(ModelSpec("tiny")).config)
    tokens = load_tokenizer("tiny")(MANY)
    torch.testing.assert_close(model.encode_text(tokens), network.encode_text(tokens, normalize=True))


def test_towers_that_see_the_padding_are_not_packed() -> None:
    config = {"width": 32, "heads": 2, "layers": 2, "no_causal_mask": True, "pool_type": "argmax"}
    network = CLIP(32, {"layers": 1, "width": 64, "patch_size": 16, "image_size": 32}, config).eval()
    tokens = load_tokenizer("tiny")(CAPTIONS)
    model = ClipModel(ModelSpec("tiny"), network, load_model(ModelSpec("tiny")).config)
    torch.testing.assert_close(model.encode_text(tokens), network.encode_text(tokens, normalize=True))


def test_images_are_normalised_as_open_clip_does(tiny: ClipModel) -> None:
    picture = Image.effect_noise((64, 64), 80).convert("RGB")
    preprocess = image_transform_v2(PreprocessCfg(size=64), is_train=False)
    expected = tiny.network.encode_image(preprocess(picture)[None], normalize=True)
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(1, 64, 64, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(tiny.encode_image(pixels), expected, atol=1e-5, rtol=0)


def test_size_of_tiny(tiny: ClipModel) -> None:
    counts = parameter_counts(tiny)
    assert 1.5e6 < counts["image tower"] < 2.5e6
    assert counts["text tower"] < 1e6
    assert counts["token table"] == 49408 * 128
    assert sum(counts.values()) == sum(p.numel() for p in tiny.network.parameters())
    assert (tiny.image_size, tiny.network.context_length) == (64, 77)


def test_weights_depend_on_the_seed_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (load_model(ModelSpec("tiny", seed=seed)).network.visual.proj for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("name", "near"), [("tinny", "tiny"), ("VIT-B-32", "ViT-B-32")])
def test_unknown_models_are_named_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UsageError, match=near):
        load_model(ModelSpec(name))


def test_unknown_tags_are_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="openai"):
        load_model(ModelSpec("ViT-B-32", "opena"))


def test_weights_from_a_file(tiny: ClipModel, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tiny.network.state_dict().items()}, path)
    loaded = load_model(ModelSpec("tiny", str(path), seed=9))
    assert torch.equal(loaded.network.visual.proj, tiny.network.visual.proj)


def test_weights_of_another_model(tiny: ClipModel, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tiny.network.state_dict().items()}, path)
    with pytest.raises(DamagedError, match=r"do not fit model RN50(.|\n)*weights\.safetensors"):
        load_model(ModelSpec("RN50", str(path)))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_files_that_hold_no_weights(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no weights at all, whatever the name says")
    with pytest.raises(DamagedError):
        load_model(ModelSpec("tiny", str(tmp_path / name)))


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="open_clip_config"):
        load_model(ModelSpec(f"local-dir:{tmp_path}"))
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {"embed_dim": 3}}))
    with pytest.raises(DamagedError):
        load_model(ModelSpec(f"local-dir:{tmp_path}"))


@pytest.mark.parametrize("half", [None, torch.bfloat16])
@pytest.mark.parametrize("parts", [1, 4])
def test_memory_is_what_a_step_keeps(tiny: ClipModel, tmp_path: Path, half: torch.dtype | None, parts: int) -> None:
    """Told from eight samples, of a batch of 64."""
    folder = write_shards(tmp_path, [[make_long_sample(number) for number in range(64)]])
    found = open_shards([f"{folder}/*.tar"])
    stream = Stream(found, Decoder(tiny.tokenizer(), 64, 3, 3, seed=0), batch_size=64, seed=0)
    batch = next(stream.batches(0))
    told = estimate_memory(tiny, stream.some(8), 64, parts=parts, half=half)
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda one: one),
        torch.autocast("cpu", dtype=half, enabled=half is not None),
    ):
        features = tiny(batch.split(parts)[0])
    for parameter in tiny.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    assert features.image.requires_grad
    assert sum(kept.values()) / 1.5 < told["activations"] < 1.5 * sum(kept.values())
    assert told["weights"] == 4 * sum(parameter_counts(tiny).values())


def test_memory_of_the_loss_is_of_the_rows(tiny: ClipModel) -> None:
    whole, part = (estimate_memory(tiny, trial_batch(tiny, 3, 0), 16, rows=rows)["loss"] for rows in (None, 4))
    assert whole == 4 * part == 30 * 16 * 16 * 4


def test_a_scale_of_one_entry_is_a_scalar(tiny: ClipModel) -> None:
    """Else it would be gathered, and joined, like the rows of a batch."""
    model = deepcopy(tiny)
    model.network.logit_scale = torch.nn.Parameter(tiny.logit_scale.detach().reshape(1))
    assert model(texts_only(make_batch(side=64))).logit_scale.shape == ()


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA L40", 181e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A10", 125e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("Tesla T4", 65e12),
        ("Tesla V100-SXM2-16GB", 125e12),
        ("NVIDIA RTX A4000", None),
        ("NVIDIA GeForce RTX 3090", None),
    ],
)
def test_peaks_by_the_words_of_a_name(name: str, peak: float | None) -> None:
    assert known_peak(name) == peak


def test_a_counted_step_is_the_step() -> None:
    """torch's counter gives the same number, and other gradients: it takes SiLU's apart."""
    weights = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))

    def gradient(counted: AbstractContextManager[object]) -> torch.Tensor:
        first = weights[0].clone().requires_grad_()
        with counted:
            (torch.nn.functional.silu(weights[1] @ first) @ weights[1]).square().sum().backward()
        assert first.grad is not None
        return first.grad

    meter, theirs = FlopMeter(torch.device("cpu"), "fp32"), FlopCounterMode(display=False)
    assert torch.equal(gradient(meter.counted()), gradient(nullcontext()))
    gradient(theirs)
    assert meter.per_step == theirs.get_total_flops() == 4 * 2 * 64**3


def test_auto_is_a_precision_that_the_gpu_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a T4 says of itself is asked without emulation; no GPU is needed to be asked."""
    asked = []

    def answer(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", answer)
    assert _auto_precision(torch.device("cuda")) == "fp16" and asked == [False]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert _auto_precision(torch.device("cuda")) == "bf16"
    assert _auto_precision(torch.device("cpu")) == "fp32"


def test_a_dry_run_measures_on_the_models_device(tiny: ClipModel) -> None:
    """``meta`` stands in for a GPU: its tensors do not meet those of a CPU."""
    model = deepcopy(tiny).to("meta")
    batch = trial_batch(model, 2, 1)
    tensors = [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 9 and all(tensor.device.type == "meta" for tensor in tensors)


def test_memory_that_runs_out_is_a_message(tmp_path: Path) -> None:
    """A CPU's allocator has no type for it."""
    code = (
        "import typer, torch; from negmine.base import console; app = typer.Typer()\n"
        "@app.command()\ndef main() -> None: torch.empty(2**50)\nconsole.run(app)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == Exit.RESOURCE and "out of memory" in done.stderr and "Traceback" not in done.stderr
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("CUDA error"))


@pytest.mark.parametrize("recipe", ["clip", "negclip", "ahnpl", "mmclip_both"])
def test_a_step_equals_the_plain_one(tiny: ClipModel, recipe: str) -> None:
    """Loss and gradients as when every slot is encoded at 77 tokens."""
    batch = make_batch(size=6, side=64)
    loss = build_loss(recipe)
    batch = batch if loss.needs_image_negatives else texts_only(batch)

    def plain() -> Features:
        size, length = batch.texts.shape
        ours = tiny(batch)  # for ids and masks
        encode: Callable[[torch.Tensor], torch.Tensor] = partial(tiny.network.encode_text, normalize=True)  # type: ignore[arg-type]
        found = {"image": tiny.encode_image(batch.images), "text": encode(batch.texts)}
        found["text_negatives"] = encode(batch.negatives.reshape(-1, length)).view(*batch.valid.shape, -1)
        if batch.image_negatives is not None and batch.image_negative_texts is not None:
            pictures = tiny.encode_image(batch.image_negatives.flatten(0, 1))
            found["image_negatives"] = pictures.view(size, -1, pictures.shape[1])
            texts = encode(batch.image_negative_texts.reshape(-1, length))
            found["image_negative_texts"] = texts.view(size, -1, texts.shape[1])
        return replace(ours, **found)

    results = []
    for encode_batch in (lambda: tiny(batch), plain):
        tiny.zero_grad()
        total = build_loss(recipe)(encode_batch()).total
        total.backward()
        gradient = {name: p.grad.clone() for name, p in tiny.network.named_parameters() if p.grad is not None}
        results.append((total.detach(), gradient))
    (ours, our_gradient), (theirs, their_gradient) = results
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert our_gradient.keys() == their_gradient.keys()
    for name, gradient in our_gradient.items():
        torch.testing.assert_close(gradient, their_gradient[name], atol=1e-5, rtol=1e-4)
