"""CLIP and SigLIP models in folders of Hugging Face's layout: trained, resumed, evaluated and exported as such."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.multiprocessing as mp
import transformers
from ahnpl.cli.models import load_any
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.settings import Settings
from ahnpl.evaluation.tasks import score_shards
from ahnpl.model.checkpoint import list_checkpoints
from ahnpl.model.clip import ClipModel, ModelSpec, load_checkpoint, load_model, parameter_counts, prepare
from ahnpl.model.export import export, merge
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import train
from ahnpl.training.plan import make_plan
from negmine.base.errors import DamagedError, ResourceError, UsageError
from negmine.contract.training_runs import read_metrics
from safetensors.torch import load_file, save_file

from tests.trainer.conftest import draw
from tests.trainer.families import word_list
from tests.trainer.test_ranks import free_port

SIDE = 32
END = 1000
TEXTS = ["a red circle on the left", "a red circle on the right", "a red", "", "circle " * 90]
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
IMAGES = {**TOWER, "image_size": SIDE, "patch_size": 16}


def write_clip(folder: Path) -> None:
    """CLIP's tokenizer with fewer words, and QuickGELU, other pixels than OpenAI's, saved in half precision."""
    words, merges = clip_words()
    transformers.CLIPTokenizer(vocab=words, merges=merges).save_pretrained(folder)
    pixels = {"size": {"shortest_edge": 40}, "crop_size": {"height": SIDE, "width": SIDE}, "resample": 2}
    transformers.CLIPImageProcessor(**pixels, image_mean=[0.4, 0.5, 0.6]).save_pretrained(folder)
    ends = {"bos_token_id": END, "eos_token_id": END + 1, "pad_token_id": 1, "vocab_size": END + 2}
    config = transformers.CLIPConfig(text_config={**TOWER, **ends}, vision_config=IMAGES, projection_dim=24)
    torch.manual_seed(0)
    transformers.CLIPModel(config).half().save_pretrained(folder)


def write_siglip(folder: Path) -> None:
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=word_list(), pad_token="[PAD]", unk_token="[UNK]", eos_token="[SEP]"
    )
    tokenizer.save_pretrained(folder)
    transformers.SiglipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    text = {**TOWER, "vocab_size": 60, "max_position_embeddings": 16, "projection_size": 32}
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    torch.manual_seed(0)
    config = transformers.SiglipConfig(text_config={**text, **ends}, vision_config=IMAGES)
    transformers.SiglipModel(config).save_pretrained(folder)


def clip_words() -> tuple[dict[str, int], list[tuple[str, ...]]]:
    """The beginning of CLIP's vocabulary and merges, which open_clip has."""
    theirs = open_clip.SimpleTokenizer()
    words = [*list(theirs.encoder)[:END], "<|startoftext|>", "<|endoftext|>"]
    return {word: number for number, word in enumerate(words)}, list(theirs.bpe_ranks)[: END - 512]


MAKERS: dict[str, Callable[[Path], None]] = {"clip": write_clip, "siglip": write_siglip}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {kind: tmp_path_factory.mktemp("hf") / kind for kind in MAKERS}
    for kind, folder in found.items():
        MAKERS[kind](folder)
    return found


@pytest.fixture(params=list(MAKERS))
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


def config_of(folder: Path, shards: Path, out: Path, **options: Any) -> TrainConfig:
    settings = {"recipe": "siglip_hard" if folder.name == "siglip" else "negclip", "steps": 3, "lr": 1e-3, **options}
    return TrainConfig(
        shards=(f"{shards}/*.tar",),
        model=f"hf:{folder}",
        out=str(out),
        batch_size=8,
        canonical_ranks=2,
        workers=0,
        log_every=1,
        save_every=1,
        keep=9,
        **settings,
    )


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(run) if "loss" in row]


def check_equal(model: ClipModel, folder: Path) -> None:
    """Pixels, tokens and features are those of transformers alone, with what it finds in a folder."""
    network = transformers.AutoModel.from_pretrained(folder, dtype="float32").eval()
    processor, tokenizer = (
        one.from_pretrained(folder) for one in (transformers.AutoImageProcessor, transformers.AutoTokenizer)
    )
    pictures = [draw("red", "circle", "left").resize((120, 80)), draw("blue", "square", "right").resize((33, 90))]
    theirs = processor(pictures, return_tensors="pt")["pixel_values"]
    ours = torch.stack([torch.from_numpy(np.array(model.transform()(one))) for one in pictures]).permute(0, 3, 1, 2)
    torch.testing.assert_close((ours / 255 - model.mean) / model.std, theirs, rtol=0, atol=1e-6)
    told = tokenizer(TEXTS, padding="max_length", max_length=model.context_length, truncation=True, return_tensors="pt")
    tokens = model.tokenizer()()(TEXTS)
    assert torch.equal(tokens, told["input_ids"])
    model.eval()
    with torch.no_grad():
        found = network(input_ids=told["input_ids"], pixel_values=theirs)
        torch.testing.assert_close(model.encode_image(ours), found.image_embeds, rtol=0, atol=1e-5)
        torch.testing.assert_close(model.encode_text(tokens), found.text_embeds, rtol=0, atol=1e-5)
        logits = model.logit_scale.exp() * found.text_embeds @ found.image_embeds.T
        torch.testing.assert_close(
            logits + (0 if model.logit_bias is None else model.logit_bias), found.logits_per_text
        )


def test_from_training_to_evaluation(folder: Path, shards: Path, tmp_path: Path) -> None:
    check_equal(load_model(ModelSpec(f"hf:{folder}")), folder)
    run = tmp_path / "run"
    last = train(make_plan(config_of(folder, shards, run))).checkpoint
    model = load_checkpoint(last)
    start = load_model(ModelSpec(f"hf:{folder}")).network.state_dict()
    assert any(not torch.equal(start[name], tensor) for name, tensor in model.network.state_dict().items())
    check_equal(model, last)

    made = export(model, tmp_path / "model")
    check_equal(model, tmp_path / "model")
    assert type(eval(made.load, {"transformers": transformers})).__name__ == type(model.network).__name__
    for name in ("tokenizer.json", "preprocessor_config.json"):
        assert (tmp_path / "model" / name).read_bytes() == (folder / name).read_bytes()
    report = [
        score_shards(open_shards([f"{shards}/00000.tar"]), load_any(place), Settings())
        for place in (str(run), str(tmp_path / "model"), f"hf:{last}")
    ]
    assert report[0].captions and report[0].micro == report[1].micro == report[2].micro

    for checkpoint in list_checkpoints(run)[1:]:  # as if it had been killed after the first
        shutil.rmtree(checkpoint)
    before = losses(run)
    train(make_plan(config_of(folder, shards, run)))
    assert losses(run) == before
    again, once = load_file(last / "model.safetensors"), model.network.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in once.items())


def together(rank: int, port: int, folder: Path, shards: Path, out: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    train(make_plan(config_of(folder, shards, out)))


@pytest.mark.full
def test_two_processes(folder: Path, shards: Path, tmp_path: Path) -> None:
    mp.spawn(together, (free_port(), folder, shards, tmp_path / "two"), nprocs=2)  # type: ignore[no-untyped-call]
    train(make_plan(config_of(folder, shards, tmp_path / "one")))
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"lock": "image", "ema": 0.9}, {"lock": "text"}, {"lora": 2}, {"grad_checkpointing": True}], ids=str
)
def test_what_trains(folder: Path, shards: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    last = train(make_plan(config_of(folder, shards, tmp_path / "run", steps=1, **options))).checkpoint
    check_equal(load_checkpoint(last), last)
    before, after = (load_model(ModelSpec(f"hf:{one}")).network.state_dict() for one in (folder, last))
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    image = {name for name in moved if name.startswith(("vision_model.", "visual_projection."))}
    text = {name for name in moved if name.startswith(("text_model.", "text_projection."))}
    assert (bool(image), bool(text)) == (options.get("lock") != "image", options.get("lock") != "text")


def test_its_texts_are_packed(folders: dict[str, Path]) -> None:
    """A causal tower reads what texts share once, whichever way it is told of their end."""
    model = load_model(ModelSpec(f"hf:{folders['clip']}")).eval()
    tokens = model.tokenizer()()(TEXTS)
    for end in (END + 1, 2):
        model.network.text_model.eos_token_id = end
        assert model.end_of_text is not None
        torch.testing.assert_close(model.encode_text(tokens), model.encode_whole(tokens), rtol=0, atol=1e-6)


def test_compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, plain = (load_model(ModelSpec(f"hf:{folder}")) for _ in range(2))
    calls = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **options: calls.append((module, options)))
    prepare(model, lock=None, lora=0, checkpointing=False, compiled=True)
    text = model.network.text_model.encoder
    assert calls == [(model.network.vision_model, {}), (text, {"dynamic": True})]
    assert parameter_counts(model) == parameter_counts(plain)


def test_merged_with_its_start(folders: dict[str, Path], shards: Path, tmp_path: Path) -> None:
    last = train(make_plan(config_of(folders["clip"], shards, tmp_path / "run", steps=1))).checkpoint
    start, end = (load_model(ModelSpec(f"hf:{one}")).network.state_dict() for one in (folders["clip"], last))
    half = merge(start, end, 0.5)
    torch.testing.assert_close(half["logit_scale"], (start["logit_scale"] + end["logit_scale"]) / 2)


def change(**values: Any) -> Callable[[Path], None]:
    """A folder whose configuration says something else."""

    def act(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return act


def remove(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def keep_weights(start: str | tuple[str, ...]) -> Callable[[Path], None]:
    """A folder with those weights alone whose names begin so."""

    def act(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        kept = {name: tensor for name, tensor in tensors.items() if name.startswith(start)}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})

    return act


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])


def other_end(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    change(text_config={**text, "eos_token_id": 7})(folder)


def few_words(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    change(text_config={**text, "vocab_size": 300, "eos_token_id": 2})(folder)
    tensors = load_file(folder / "model.safetensors")
    name = "text_model.embeddings.token_embedding.weight"
    save_file({**tensors, name: tensors[name][:300].clone()}, folder / "model.safetensors", {"format": "pt"})


def other_size(folder: Path) -> None:
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "crop_size": {"height": 40, "width": 24}}))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (remove("config.json"), r"not the folder(.|\n)*config.json is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot read this configuration"),
        (lambda folder: (folder / "config.json").write_text("[]"), "JSON object"),
        (change(model_type="blip"), r"type 'blip'(.|\n)*clip and siglip"),
        (change(model_type="siglip2"), "type 'siglip2'"),
        (change(model_type="clip_text_model"), "no vision tower"),
        (change(model_type="siglip_vision_model"), "no text tower"),
        (remove("model.safetensors"), "no weights in safetensors"),
        (pickled, "may run code"),
        (cut, "weights of this folder cannot be loaded"),
        (keep_weights("text_"), "no image tower"),
        (keep_weights("vis"), "no text tower"),
        (keep_weights(("vis", "text")), r"weights are missing(.|\n)*logit_scale"),
        (change(projection_dim=12), "weights of this folder cannot be loaded"),
        (remove("tokenizer.json"), r"no tokenizer(.|\n)*tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer of this folder cannot be used"),
        (other_end, "end a text with token 7"),
        (few_words, "the tower knows 300"),
        (remove("preprocessor_config.json"), "no preprocessor"),
        (other_size, "40 x 24 pixels"),
    ],
)
def test_bad_folders(folders: dict[str, Path], tmp_path: Path, spoil: Callable[[Path], object], says: str) -> None:
    bad = Path(shutil.copytree(folders["clip"], tmp_path / "bad"))
    spoil(bad)
    with pytest.raises((DamagedError, UsageError), match=says):
        load_model(ModelSpec(f"hf:{bad}"))


def test_options_that_a_folder_leaves_no_room_for(folders: dict[str, Path], tmp_path: Path) -> None:
    name = f"hf:{folders['siglip']}"
    for option, spec in (("--pretrained", ModelSpec(name, "x")), ("--preprocess", ModelSpec(name, preprocess={}))):
        with pytest.raises(UsageError, match=option):
            load_model(spec)
    with pytest.raises(UsageError, match="is a folder"):
        export(load_model(ModelSpec(name)), tmp_path / "weights.safetensors")
    with pytest.raises(UsageError, match=r"type None|not the folder"):
        load_model(ModelSpec(f"hf:{tmp_path}"))


class TestHub:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A cache of the hub's, and no network."""
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        return tmp_path / "hub"

    def put(self, cache: Path, folder: Path, name: str) -> None:
        model = cache / f"models--org--{name}"
        (model / "refs").mkdir(parents=True)
        (model / "refs" / "main").write_text("0")
        shutil.copytree(folder, model / "snapshots" / "0")

    def test_both_layouts(self, folders: dict[str, Path], micro: str, cache: Path, tmp_path: Path) -> None:
        self.put(cache, folders["siglip"], "theirs")
        check_equal(load_model(ModelSpec("hf-hub:org/theirs")), folders["siglip"])
        one = load_model(ModelSpec(micro, seed=5))
        export(one, tmp_path / "model")
        self.put(cache, tmp_path / "model", "ours")
        again = load_any("hf-hub:org/ours")
        assert all(torch.equal(again.network.state_dict()[n], t) for n, t in one.network.state_dict().items())

    def test_what_is_no_model(self, folders: dict[str, Path], cache: Path) -> None:
        with pytest.raises(ResourceError, match=r"could not download org/none(.|\n)*hf download org/none"):
            load_model(ModelSpec("hf-hub:org/none"))
        with pytest.raises(ResourceError, match="could not download a/b/c"):
            load_model(ModelSpec("hf-hub:a/b/c"))
        self.put(cache, folders["siglip"], "empty")
        (cache / "models--org--empty" / "snapshots" / "0" / "model.safetensors").unlink()
        with pytest.raises(UsageError, match="holds no model"):
            load_model(ModelSpec("hf-hub:org/empty"))
