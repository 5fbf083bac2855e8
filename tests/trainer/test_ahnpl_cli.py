"""The commands as they are typed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ahnpl.cli import eval_main, export_main, train_main
from ahnpl.cli.command_line import spread
from negmine.base.errors import Exit

Result = tuple[int, str, str]
GREEDY = ("--shards", "--eval-shards")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Result]:
    """Run a command's entry point in an empty folder: status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(main: Callable[[], object], *words: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def quick(micro: str, *more: str) -> list[str]:
    return ["--model", micro, "--out", "run", "--batch-size", "16", "--workers", "0", *more]


def test_greedy_options_take_several_words() -> None:
    assert spread(["--shards", "a", "b", "--lr", "1", "--eval-shards", "c", "d"], GREEDY) == [
        "--shards",
        "a",
        "--shards",
        "b",
        "--lr",
        "1",
        "--eval-shards",
        "c",
        "--eval-shards",
        "d",
    ]
    assert spread(["--shards=a", "--json"], GREEDY) == ["--shards=a", "--json"]


def test_shards_expanded_by_the_shell(call: Callable[..., Result], shards: Path, micro: str) -> None:
    tars = sorted(shards.glob("*.tar"))
    assert len(tars) >= 3
    status, out, err = call(
        train_main,
        "--shards",
        *tars,
        "--recipe",
        "ahnpl",
        *quick(micro, "--epochs", "1"),
        "--json",
        "--eval-shards",
        *tars[:2],
    )
    assert status == Exit.DONE, err
    body = json.loads(out)
    assert body["figures"]["steps"] == 4
    assert Path(body["outputs"]["checkpoint"]).is_dir()
    assert "Traceback" not in err


@pytest.mark.parametrize("pattern", ["{}/*.tar", "{}/0000{{0..3}}.tar", "file://{}/*.tar"])
def test_quoted_patterns_and_dry_run(call: Callable[..., Result], shards: Path, micro: str, pattern: str) -> None:
    status, out, err = call(train_main, "--shards", pattern.format(shards), *quick(micro), "--dry-run", "--json")
    assert status == Exit.DONE, err
    figures = json.loads(out)["figures"]
    assert (figures["shards"], figures["samples"], figures["steps"]) == (4, 64, 40)
    assert {"weights", "activations"} <= figures["memory of a process, about"].keys()
    assert not Path("run").exists()


def test_train_then_evaluate(call: Callable[..., Result], shards: Path, micro: str) -> None:
    assert call(train_main, "--shards", f"{shards}/*.tar", *quick(micro, "--steps", "2"))[0] == Exit.DONE
    status, out, _ = call(eval_main, "--checkpoint", "run", "--shards", *sorted(shards.glob("*.tar")))
    assert status == Exit.DONE
    for word in ("replace_attribute", "micro", "macro", "R@10", "ties are wrong"):
        assert word in out
    status, out, _ = call(eval_main, "--checkpoint", "run", "--shards", f"{shards}/*.tar", "--json", "--limit", "20")
    assert json.loads(out)["figures"]["micro"]["total"] == 60


def test_what_was_gained_and_forgotten_since_the_start(call: Callable[..., Result], shards: Path) -> None:
    """`--against start` is the untrained model that the run began with, judged on the same items."""
    options = ("--batch-size", "16", "--workers", "0", "--seed", "3", "--steps", "6", "--lr", "1e-2", "--out", "run")
    assert call(train_main, "--shards", f"{shards}/*.tar", *options)[0] == Exit.DONE
    asked = ("--shards", f"{shards}/00000.tar", "--json")
    status, out, err = call(eval_main, "--checkpoint", "run", *asked, "--against", "start", "--histograms", "h.png")
    assert status == Exit.DONE, err
    body = json.loads(out)
    before, now = (json.loads(call(eval_main, "--checkpoint", c, *asked)[1])["figures"] for c in ("init:tiny:3", "run"))
    change = body["figures"]["changes"]["caption above its foil"]["all"]
    assert (change["before"], change["now"]) == (before["micro"], now["micro"])
    assert change["before"] != change["now"]
    assert Path(body["outputs"]["histograms"]).read_bytes().startswith(b"\x89PNG")
    assert sum(body["figures"]["histograms"]["its foils"]) == 30


def test_export_and_compare(call: Callable[..., Result], shards: Path) -> None:
    for name in ("one", "two"):
        options = ("--batch-size", "16", "--workers", "0", "--steps", "2", "--out", name, "--lr", "1e-2")
        assert call(train_main, "--shards", f"{shards}/*.tar", *options)[0] == Exit.DONE
    status, out, err = call(train_main, "--compare", "one", "two", "--out", "both.png", "--json")
    assert status == Exit.DONE, err
    assert list(json.loads(out)["figures"]) == ["one", "two"]
    assert Path("both.png").is_file()
    status, out, err = call(export_main, "--checkpoint", "one", "--alpha", "0.5", "--out", "wise.safetensors")
    assert status == Exit.DONE, err
    assert 'open_clip.create_model("tiny", pretrained="wise.safetensors")' in out
    written = Path("wise.safetensors").read_bytes()
    status, _, err = call(export_main, "--checkpoint", "two", "--out", "wise.safetensors")
    assert status == Exit.USAGE and "--overwrite" in err
    assert Path("wise.safetensors").read_bytes() == written


def test_the_untrained_model_and_a_benchmark(call: Callable[..., Result], tmp_path: Path, shards: Path) -> None:
    from tests.trainer.conftest import make_sample

    (tmp_path / "0.jpg").write_bytes(make_sample(0).image)
    row = {"filename": "0.jpg", "caption": "a red circle", "negative_caption": "a red square"}
    (tmp_path / "swap_obj.json").write_text(json.dumps({"0": row}))
    command = ("--checkpoint", "init:tiny:3", "--benchmark", "sugarcrepe:swap_obj.json", "--images", ".", "--json")
    first, second = call(eval_main, *command), call(eval_main, *command)
    assert first[0] == Exit.DONE
    assert first[1] == second[1]
    assert list(json.loads(first[1])["figures"]["kinds"]) == ["swap_obj"]


@pytest.mark.parametrize(
    ("words", "status", "named"),
    [
        (["--shards", "none/*.tar"], Exit.USAGE, "none/*.tar"),
        (["--recipe", "ahnlp"], Exit.USAGE, "ahnpl"),
        (["--model", "ViT-B-33"], Exit.USAGE, "ViT-B-32"),
        (["--precision", "fp7"], Exit.USAGE, "bf16"),
        (["--epochs", "many"], Exit.USAGE, "--epochs"),
        (["--batch-size", "1000"], Exit.USAGE, "64 samples"),
        (["--negatives", "0"], Exit.USAGE, "negatives"),
        (["--recipe", "hcl", "--loss-rows", "0"], Exit.USAGE, "--loss-rows"),
        (["--recipe", "dcl", "--loss-rows", "8"], Exit.USAGE, "terms i2t, t2i"),
        (["--recipe", "sycl", "--local-loss"], Exit.USAGE, "term wasserstein"),
        (["--same-image", "mask"], Exit.USAGE, "masked"),
        (["--pretrained", "nothing.pt"], Exit.USAGE, "nothing.pt"),
        (["--nosuch", "1"], Exit.USAGE, "nosuch"),
        (["--accum", "2"], Exit.USAGE, "write --grad-cache-chunks"),
        (["--shares=2"], Exit.USAGE, "write --canonical-ranks"),
    ],
)
def test_mistakes_get_one_message(
    call: Callable[..., Result], shards: Path, words: list[str], status: Exit, named: str
) -> None:
    given = words if "--shards" in words else ["--shards", f"{shards}/*.tar", *words]
    found, out, err = call(train_main, *given, "--dry-run")
    assert found == status
    assert named in err.replace("\n", " ")
    assert out == "" and "Traceback" not in err


def test_a_checkpoint_of_another_version_is_refused(call: Callable[..., Result], shards: Path, micro: str) -> None:
    assert call(train_main, "--shards", f"{shards}/*.tar", *quick(micro, "--steps", "1"))[0] == Exit.DONE
    state = Path("run/checkpoints/step-00000001/state.json")
    state.write_text(json.dumps({**json.loads(state.read_text()), "version": 99}))
    for main in (eval_main, export_main):
        words = ["--shards", f"{shards}/*.tar"] if main is eval_main else ["--out", "weights"]
        status, out, err = call(main, "--checkpoint", "run", *words)
        assert (status, out) == (Exit.DAMAGED, "")
        assert "version 99" in err
    assert not Path("weights").exists()


def test_damaged_shards_have_their_status(call: Callable[..., Result], few_shards: Callable[..., Path]) -> None:
    folder = few_shards()
    tar = folder / "00001.tar"
    tar.write_bytes(tar.read_bytes()[:-512])
    for main in (train_main, eval_main):
        words = ["--checkpoint", "init:tiny"] if main is eval_main else []
        status, _, err = call(main, "--shards", f"{folder}/*.tar", *words)
        assert status == Exit.DAMAGED
        assert "00001.tar" in err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--checkpoint", "nowhere"], "nowhere"),
        (["--checkpoint", "init:tinny"], "tiny"),
        (["--checkpoint", "init:tiny:x"], "seed"),
        (["--checkpoint", "init:tiny:99999999999999999999"], "seed"),
        (["--checkpoint", "init:tiny:²"], "seed"),
        (["--checkpoint", "init:tiny", "--limit", "99999999999999999999"], "--limit"),
        (["--checkpoint", "init:tiny", "--benchmark", "sugarcreep:x"], "sugarcrepe"),
        (["--checkpoint", "init:tiny", "--benchmark", "sugarcrepe:x.json"], "x.json"),
        (["--checkpoint", "init:tiny", "--benchmark", "winoground"], "winoground:PATH"),
        (["--checkpoint", "init:tiny", "--benchmark", "zeroshot:nowhere"], "nowhere"),
        (["--checkpoint", "init:tiny", "--against", "nowhere"], "nowhere"),
        (["--checkpoint", "init:tiny", "--against", "start"], "no checkpoint"),
    ],
)
def test_mistakes_in_evaluation(call: Callable[..., Result], shards: Path, words: list[str], named: str) -> None:
    given = words if "--benchmark" in words else ["--shards", f"{shards}/*.tar", *words]
    status, out, err = call(eval_main, *given)
    assert status == Exit.USAGE
    assert named in err and out == ""


@pytest.mark.parametrize("command", ["train", "eval", "export"])
def test_help_imports_nothing_heavy(command: str) -> None:
    """Help within half a second is a matter of what is imported; a clock would measure the machine."""
    code = f"""
import sys
sys.argv = ["x", "--help"]
from ahnpl.cli import {command}_main as main
try:
    main()
finally:
    print("heavy:", sorted({{"torch", "open_clip", "pyarrow", "numpy", "spacy", "PIL"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("--checkpoint" if command == "export" else "--shards") in done.stdout
    assert "heavy: []" in done.stdout


def test_starts_without_the_pipeline() -> None:
    code = """
import sys
for name in ("spacy", "faiss", "nltk", "lemminflect", "webdataset"):
    sys.modules[name] = None
import ahnpl.cli, ahnpl.training.loop, ahnpl.evaluation.run, ahnpl.training.memory
loaded = {name for name in sys.modules if name.startswith("negmine.")}
print(*sorted(loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name for name in done.stdout.split() if name.split(".")[1] in {"stages", "language", "engine"}}
