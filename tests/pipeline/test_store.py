"""A store loses nothing, mixes nothing, and notices every change."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
from negmine import store
from negmine.base.errors import DamagedError, ResourceError, UsageError
from negmine.store import JOURNAL, MANIFEST, PartRecord, Spec, Store, load_manifest, verify_store, write_text
from negmine.store.files import temporary_name, write_file, write_output

SPEC = Spec("test", {"per_caption": 4, "seed": 0}, {"pairs": "abc"}, {"spacy": "3.8"})


def make_part(folder: Path, index: int) -> PartRecord:
    record = write_text(folder, f"part-{index:05d}.txt", f"content of part {index}\n")
    return PartRecord(index, (record,), {"pairs": index})


def fill(folder: Path, spec: Spec = SPEC, parts: int = 3, stop_after: int | None = None) -> list[int]:
    """Make the missing parts; returns which were made."""
    made = []
    with Store.open(folder, spec) as opened:
        for index in opened.missing(parts)[:stop_after]:
            opened.commit(make_part(folder, index))
            made.append(index)
        if not opened.missing(parts):
            opened.finish()
    return made


def test_resume_makes_only_what_is_missing(tmp_path: Path) -> None:
    assert fill(tmp_path, stop_after=2) == [0, 1]
    assert fill(tmp_path) == [2]
    assert fill(tmp_path) == []
    assert load_manifest(tmp_path).counts == {"pairs": 3}


def test_manifest_does_not_depend_on_the_order_of_parts(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    with Store.open(tmp_path / "b", SPEC) as opened:
        for index in (2, 0, 1):
            opened.commit(make_part(tmp_path / "b", index))
        opened.finish()
    assert (tmp_path / "a" / MANIFEST).read_bytes() == (tmp_path / "b" / MANIFEST).read_bytes()


def test_a_torn_journal_line_is_a_part_not_made(tmp_path: Path) -> None:
    fill(tmp_path, stop_after=2)
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-7])
    assert fill(tmp_path) == [1, 2]


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete"])
def test_resume_redoes_a_damaged_part(tmp_path: Path, damage: str) -> None:
    fill(tmp_path, stop_after=2)
    part = tmp_path / "part-00001.txt"
    content = part.read_bytes()
    if damage == "delete":
        part.unlink()
    else:
        part.write_bytes(content[:-1] if damage == "truncate" else bytes([content[0] ^ 1]) + content[1:])
    assert fill(tmp_path) == [1, 2]
    assert part.read_bytes() == content


def test_other_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    fill(tmp_path)
    other = Spec("test", {"per_caption": 8, "seed": 0}, {"pairs": "abc"})
    with pytest.raises(DamagedError, match=r"settings\.per_caption: 4 -> 8"):
        fill(tmp_path, other)
    with pytest.raises(DamagedError, match=r"inputs\.pairs"):
        fill(tmp_path, Spec("test", SPEC.settings, {"pairs": "def"}))


def test_other_library_versions_matter_only_while_parts_are_missing(tmp_path: Path) -> None:
    newer = Spec("test", SPEC.settings, SPEC.inputs, {"spacy": "3.9"})
    fill(tmp_path / "whole")
    assert fill(tmp_path / "whole", newer) == []
    fill(tmp_path / "half", stop_after=1)
    with pytest.raises(DamagedError, match=r"packages\.spacy"):
        fill(tmp_path / "half", newer)


def test_overwrite_starts_anew_and_leaves_other_files_alone(tmp_path: Path) -> None:
    fill(tmp_path, parts=5)
    (tmp_path / "README.md").write_text("mine")
    other = Spec("test", {"per_caption": 8}, {})
    with Store.open(tmp_path, other, overwrite=True) as opened:
        assert opened.missing(2) == [0, 1]
        for index in (0, 1):
            opened.commit(make_part(tmp_path, index))
        opened.finish()
    assert (tmp_path / "README.md").read_text() == "mine"
    assert not (tmp_path / "part-00004.txt").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: (f / "part-00001.txt").write_bytes(b"x" + (f / "part-00001.txt").read_bytes()[1:]),
            "part-00001.txt",
        ),
        (lambda f: (f / "part-00001.txt").unlink(), "part-00001.txt is missing"),
        (lambda f: (f / "part-00009.txt").write_text("?"), "part-00009.txt is not listed"),
        (lambda f: (f / "part-00001.txt").rename(f / "part-00007.txt"), "part-00007.txt is not listed"),
    ],
)
def test_verify_names_the_file(tmp_path: Path, damage: Any, message: str) -> None:
    fill(tmp_path)
    assert verify_store(tmp_path, fast=False) == []
    damage(tmp_path)
    assert any(message in problem for problem in verify_store(tmp_path, fast=False))


def test_an_edited_manifest_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path)
    manifest = tmp_path / MANIFEST
    manifest.write_text(manifest.read_text().replace('"per_caption": 4', '"per_caption": 5'))
    with pytest.raises(DamagedError, match="edited"):
        verify_store(tmp_path, fast=True)


def test_two_runs_on_one_folder(tmp_path: Path) -> None:
    holder = (
        "import sys, pathlib; from negmine.store import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ResourceError, match=f"process {process.pid}"), Store.open(tmp_path, SPEC):
            pass
        process.kill()
        process.wait()
    assert fill(tmp_path) == [0, 1, 2]  # the kernel freed the lock


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    def write(stream: IO[bytes]) -> int:
        stream.write(b"x" * 100)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ResourceError, match="no space left"):
        store.write_file(tmp_path, "part-00000.txt", write)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_really_full_device(tmp_path: Path) -> None:
    def write(stream: IO[bytes]) -> int:
        with Path("/dev/full").open("wb", buffering=0) as full:
            return full.write(b"x")

    with pytest.raises(ResourceError, match="no space left"):
        write_file(tmp_path, "part", write)
    assert list(tmp_path.iterdir()) == []


def test_no_device_and_no_pipe_is_replaced(tmp_path: Path) -> None:
    """A file is put in place by renaming, and who may write there, as root may into ``/dev``, would lose the device."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "null", Path("/dev/stdout"), Path("/dev/no-such-device")):
        with pytest.raises(UsageError, match="device or a pipe"):
            write_output(path, lambda stream: stream.write(b"x"))
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "null").is_symlink()
    assert not Path("/dev/no-such-device").exists()


def test_two_hosts_write_one_file_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system they share, from processes of the same number: as a part that Ray started again elsewhere."""

    def write(stream: IO[bytes]) -> int:
        stream.write(b"one ")
        monkeypatch.setattr(socket, "gethostname", lambda: "two/../host")
        write_text(tmp_path, "part-00000.txt", "two")
        stream.write(b"one")
        monkeypatch.setattr(socket, "gethostname", lambda: "one")
        return 0

    monkeypatch.setattr(socket, "gethostname", lambda: "one")
    record = store.write_file(tmp_path, "part-00000.txt", write)
    assert (tmp_path / "part-00000.txt").read_bytes() == b"one one"
    assert record.sha256 == store.file_sha256(tmp_path / "part-00000.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["part-00000.txt"]


def test_what_another_host_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, stop_after=1)
    with monkeypatch.context() as there:
        there.setattr(socket, "gethostname", lambda: "elsewhere")
        (tmp_path / temporary_name("part-00001.txt")).write_text("cut")
    fill(tmp_path)
    assert not list(tmp_path.glob(f"{store.TEMPORARY}*"))


def test_killed_at_any_moment_and_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    fill(tmp_path / "whole", parts=6)
    code = (
        "import sys, os, pathlib; sys.path.insert(0, sys.argv[2]); import test_store as t\n"
        "from negmine.store import Store\n"
        "folder = pathlib.Path(sys.argv[1]); die_at = int(sys.argv[3]); calls = 0\n"
        "def trace(frame, event, argument):\n"
        "    global calls\n"
        "    calls += '/negmine/store/' in frame.f_code.co_filename\n"
        "    if calls == die_at: os.kill(os.getpid(), 9)\n"
        "    return trace\n"
        "sys.settrace(trace); t.fill(folder, parts=6)\n"
    )
    deaths = 0
    for die_at in range(20, 2000, 97):
        died = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "killed"), str(Path(__file__).parent), str(die_at)], check=False
        )
        deaths += died.returncode == -9
        if died.returncode == 0:
            break
    assert deaths > 2
    fill(tmp_path / "killed", parts=6)
    names = {path.name for path in (tmp_path / "whole").iterdir()} - {store.LOCK}
    for name in names:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert verify_store(tmp_path / "killed", fast=False) == []


def test_differences_are_readable() -> None:
    before, now = {"a": {"b": 1, "c": [1]}}, {"a": {"b": 2, "c": [1]}, "d": "x"}
    assert store.differences(before, now, "settings") == ["settings.a.b: 1 -> 2", 'settings.d: null -> "x"']


def test_manifest_round_trip(tmp_path: Path) -> None:
    fill(tmp_path)
    text = (tmp_path / MANIFEST).read_text()
    assert json.loads(text)["fingerprint"] == SPEC.fingerprint
    assert store.Manifest.from_text(text, "here").to_text() == text
