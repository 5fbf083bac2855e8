"""Work folders that are closed, empty or signed for: read without writing, told without secrets, stopped anywhere."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from negmine.base import console
from negmine.base.errors import InputError, NegmineError
from negmine.cli.app import app
from typer.testing import CliRunner

from tests.e2e.harness import CAPTIONS, PATIENCE, SAMPLE, copy, hashes, negmine, succeed, times, write_lines
from tests.e2e.test_storage import _without_privilege

LATER = ("retrieve", "shard", "report", "audit", "export jsonl")


def _fails(*arguments: object) -> NegmineError:
    """The error of a command, run in this process."""
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    assert isinstance(done.exception, NegmineError), (arguments, done.output, done.exception)
    return done.exception


# --- nothing usable --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "images", "why"),
    [
        (["", ""], False, "the input had no rows"),
        (['{"image": "x.jpg", "caption": null}'], False, "no_caption 1"),
        (['{"image": "absent.jpg", "caption": "a dog"}'], True, "missing_image 1"),
    ],
)
def test_an_input_without_a_usable_row_is_told_by_every_later_command(
    content: list[str], images: bool, why: str, tmp_path: Path
) -> None:
    work = ("--work", tmp_path / "work")
    captions = write_lines(tmp_path / "captions.jsonl", content)
    parse = ("parse", captions, *work, "--workers", 1, *(("--images", tmp_path) if images else ()))
    assert isinstance(_fails(*parse), InputError)
    for command in LATER:
        outs = {"retrieve": (), "report": ("--out", tmp_path / "page.html")}
        out = outs.get(command, ("--out", tmp_path / "out"))
        error = _fails(*command.split(), *work, *out)
        assert error.status == 3, command
        assert (error.what.startswith("there are no pairs here"), error.why) == (True, why), command
    assert isinstance(_fails(*parse), InputError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.jsonl", "work"]


# --- readers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def closed(work: Path, tmp_path: Path) -> Iterator[Path]:
    """A finished work folder that may only be read, copied without its hidden files."""
    mine = copy(work, tmp_path / "work")
    folders = [mine, *(path for path in mine.rglob("*") if path.is_dir())]
    for folder in folders:
        (folder / ".lock").unlink(missing_ok=True)
        folder.chmod(0o555)
    yield mine
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.parametrize("command", ["parse", "retrieve", "shard", "report", "export jsonl", "verify"])
def test_readers_need_no_right_to_write(command: str, closed: Path, encoder: str, shards: Path, tmp_path: Path) -> None:
    """Nor have those commands to write whose stage is finished."""
    where = {"verify": (closed,)}.get(command, ("--work", closed))
    more: dict[str, tuple[object, ...]] = {
        "parse": (CAPTIONS, "--images", SAMPLE),
        "retrieve": ("--encoder", encoder, "--filter", "percentage=1"),
        "shard": ("--out", tmp_path / "out", "--shard-size", 200, "--workers", 1),
        "report": ("--out", tmp_path / "page.html", "--examples", 3),
        "export jsonl": ("--out", tmp_path / "negatives.jsonl"),
    }
    before = times(closed)
    done = negmine(*command.split(), *where, *more.get(command, ()), prepare=_without_privilege)
    assert done.status == 0, done.err
    assert times(closed) == before and not list(closed.rglob(".lock"))
    if command == "shard":
        tars = {name.partition("/")[2]: it for name, it in hashes(shards).items() if name.endswith(".tar")}
        assert {n.partition("/")[2]: it for n, it in hashes(tmp_path / "out").items() if n.endswith(".tar")} == tars


# --- addresses with secrets ------------------------------------------------------------------------------------------


def test_queries_are_neither_stored_nor_shown(tmp_path: Path) -> None:
    """A signed address of captions: its signature is in nothing that is written, and another one resumes."""
    (tmp_path / "site").mkdir()
    write_lines(tmp_path / "site" / "c.jsonl", [*CAPTIONS.read_text().splitlines()[:20], '{"image": "x.jpg"}'])
    handler = partial(_Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/c.jsonl"
        parse = ("--work", tmp_path / "work", "--preset", "swaps", "--workers", 1, "--max-bad", 0.5)
        told = [succeed("parse", f"{url}?token=geheim{number}&X-Amz-Signature=geheim", *parse) for number in range(2)]
        told.append(negmine("parse", f"{url}x?token=geheim", "--work", tmp_path / "other"))
        told.append(negmine("parse", f"{url}?token=geheim", *parse, "--rank", 0, "--world-size", 2))
        server.shutdown()
    assert told[2].status == 2
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in written if b"geheim" in text]
    assert not [one for one in told if "geheim" in one.out + one.err]
    refused = json.loads((tmp_path / "work" / "pairs" / "manifest.json").read_text())["counts"]["rejected:no_caption"]
    assert refused == 1


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


# --- signals ---------------------------------------------------------------------------------------------------------

WAITS = """
import sys, time
from negmine.base import console
def app():
    print("begun", flush=True)
    time.sleep(60)
console.run(app)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_outside_of_phases(number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "the same command resumes" in err and "Traceback" not in err


def test_nohup_is_heard() -> None:
    script = WAITS.replace("time.sleep(60)", "import os, signal; os.kill(os.getpid(), signal.SIGHUP)")
    ignore = partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, preexec_fn=ignore, timeout=PATIENCE)
    assert done.returncode == 0


# --- the terminal ----------------------------------------------------------------------------------------------------


def test_markup_and_words_of_a_shell_in_names(work: Path, tmp_path: Path) -> None:
    """Brackets are shown as they are, and what is to be typed next can be."""
    mine = copy(work, tmp_path / "a[/b] [bold]x; id")
    told = succeed("report", "--work", mine, "--examples", 1)
    assert f"written to {mine}/report.html" in told.out
    assert f"next xdg-open '{mine}/report.html'" in told.out
    with console.results.capture() as shown:
        console.show_output("written to", "a[/b] [bold]x")  # as `audit` does
    assert shown.get() == "written to a[/b] [bold]x\n"


def test_secrets_are_hidden_and_paths_are_not(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(work))
    monkeypatch.setenv("SOME_TOKEN", "sealed-and-secret")
    figures = succeed("verify", work, "--json").figures
    assert str(work / "pairs") in figures
    assert "sealed" not in negmine("verify", work / "sealed-and-secret").err
