"""A folder from somebody else: its links lead nowhere, and nothing in its manifests and journals goes unchecked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from negmine.base.errors import DamagedError
from negmine.base.seal import seal
from negmine.contract.records import TABLES
from negmine.store import (
    JOURNAL,
    LOCK,
    MANIFEST,
    PartRecord,
    Spec,
    Store,
    load_manifest,
    locked,
    read_part,
    reading,
    remove_leftovers,
    scratch,
    verify_store,
    write_text,
)
from negmine.store.files import temporary_name

SPEC = Spec("test", {"seed": 0}, {"pairs": "abc"}, {"spacy": "3.8"}, {"images": "/photos"})
CASES = Path(__file__).parents[1] / "cases" / "attack"


def fill(folder: Path, parts: int = 3, stop_after: int | None = None, spec: Spec = SPEC) -> list[int]:
    with Store.open(folder, spec) as opened:
        made = opened.missing(parts)[:stop_after]
        for index in made:
            record = write_text(folder, f"part-{index:05d}.txt", f"content of part {index}\n")
            opened.commit(PartRecord(index, (record,), {"pairs": index}))
        if not opened.missing(parts):
            opened.finish()
    return made


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    path = tmp_path / "home" / "precious.txt"
    path.write_text("irreplaceable")
    return path


@pytest.mark.parametrize("shared", [True, False])
def test_a_lock_that_is_a_link_is_refused(shared: bool, precious: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    fill(work)
    (work / LOCK).unlink()
    (work / LOCK).symlink_to(precious)
    with pytest.raises(DamagedError, match="none of negmine's files"), locked(work, shared=shared):
        pass
    assert precious.read_text() == "irreplaceable"


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_lock_that_is_no_file_is_refused_and_does_not_hang(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / LOCK)
    with pytest.raises(DamagedError, match="none of negmine's files"), locked(tmp_path):
        pass


def test_a_lock_with_another_name_somewhere_is_not_overwritten(precious: Path, tmp_path: Path) -> None:
    """A hard link cannot be told from a file; what stands in it can."""
    work = tmp_path / "work"
    work.mkdir()
    (work / LOCK).hardlink_to(precious)
    with locked(work):
        pass
    assert precious.read_text() == "irreplaceable"


def test_a_temporary_file_that_is_a_link_is_replaced(precious: Path, tmp_path: Path) -> None:
    (tmp_path / temporary_name("page.html")).symlink_to(precious)
    write_text(tmp_path, "page.html", "a page")
    assert (precious.read_text(), (tmp_path / "page.html").read_text()) == ("irreplaceable", "a page")
    assert not (tmp_path / "page.html").is_symlink()


def test_temporary_links_go_and_lead_nowhere(precious: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / ".tmp-folder").symlink_to(precious.parent)
    (work / ".tmp-file").symlink_to(precious)
    (work / ".tmp-nowhere").symlink_to(tmp_path / "absent")
    assert fill(work) == [0, 1, 2]
    assert precious.read_text() == "irreplaceable"
    assert not list(work.glob(".tmp-*"))


def test_a_hidden_phase_that_is_a_link_is_refused(precious: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    fill(work, stop_after=1)
    (work / ".counts").symlink_to(precious.parent)
    with Store.open(work, SPEC), pytest.raises(DamagedError, match="none of negmine's folders"):
        fill(work / ".counts")
    assert [path.name for path in precious.parent.iterdir()] == ["precious.txt"]


def test_a_journal_that_is_a_link_is_replaced(precious: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    precious.write_text("")
    (work / JOURNAL).symlink_to(precious)
    assert fill(work, stop_after=2) == [0, 1]
    assert precious.read_text() == "" and not (work / JOURNAL).is_symlink()


def test_a_stage_on_another_disk_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "work").symlink_to(tmp_path / "large")
    assert fill(tmp_path / "work") == [0, 1, 2]
    assert verify_store(tmp_path / "work", fast=False) == []


# --- journals --------------------------------------------------------------------------------------------------------


def _entries(folder: Path) -> list[bytes]:
    return (folder / JOURNAL).read_bytes().splitlines(keepends=True)


def test_every_changed_byte_of_a_journal_is_noticed(tmp_path: Path) -> None:
    """Or it ends a line that was torn; then the parts from there on are made again, and never with other counts."""
    fill(tmp_path / "whole")
    fill(tmp_path / "begun", stop_after=3 - 1)
    content = (tmp_path / "begun" / JOURNAL).read_bytes()
    whole = (tmp_path / "whole" / MANIFEST).read_bytes()
    for at in range(0, len(content), 3):
        mutated = bytearray(content)
        mutated[at] ^= 1 + at % 7
        (tmp_path / "begun" / JOURNAL).write_bytes(bytes(mutated))
        try:
            fill(tmp_path / "begun")
        except DamagedError as error:
            assert JOURNAL in str(error.where)
            continue
        assert (tmp_path / "begun" / MANIFEST).read_bytes() == whole
        (tmp_path / "begun" / MANIFEST).unlink()


def test_a_journal_without_checksums_is_still_read(tmp_path: Path) -> None:
    fill(tmp_path, stop_after=2)
    lines = [line.partition(b"\t")[0] + b"\n" for line in _entries(tmp_path)]
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))
    assert fill(tmp_path) == [2]


@pytest.mark.parametrize("name", ["journal_m00527.jsonl", "journal_m00650.jsonl"])
def test_journals_of_wrong_types(name: str, tmp_path: Path) -> None:
    content = (CASES / name).read_bytes()
    (tmp_path / JOURNAL).write_bytes(content)
    spec = Spec("x", {"a": 1, "b": [1, 2]}, {"pairs": "0" * 64}, {"p": "1"})
    with pytest.raises(DamagedError) as caught, Store.open(tmp_path, spec):
        pass
    assert f"{JOURNAL}, line " in str(caught.value.where)


# --- manifests -------------------------------------------------------------------------------------------------------

WRONG: list[tuple[str, Any]] = [
    (where, value)
    for where in (
        "records",
        "records.0",
        "records.0.index",
        "records.0.files",
        "records.0.files.0",
        "records.0.counts",
        "records.0.files.0.rows",
        "records.0.files.0.bytes",
        "records.0.files.0.file",
        "extra",
        "records.0.files.0.sha256",
        "extra_counts",
        "stage",
        "settings",
        "inputs",
        "packages",
        "context",
        "context.images",
        "inputs.pairs",
        "records.0.counts.pairs",
    )
    for value in (7.5, [], [[]], True, -1, {"a": [1]}, ...)
    if (where, value) not in (("extra", []), ("records", []), ("settings", {"a": [1]}), ("records.0.counts.pairs", -1))
]


@pytest.mark.parametrize(("where", "value"), WRONG)
def test_a_sealed_manifest_of_wrong_types_or_fields_is_damaged(where: str, value: Any, tmp_path: Path) -> None:
    fill(tmp_path)
    body = json.loads((tmp_path / MANIFEST).read_text())
    del body["checksum"]
    *path, last = [int(one) if one.isdigit() else one for one in where.split(".")]
    inner = body
    for one in path:
        inner = inner[one]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    (tmp_path / MANIFEST).write_text(seal(body))
    if value is ... and where in ("context.images", "inputs.pairs", "records.0.counts.pairs"):
        load_manifest(tmp_path)  # nothing says that they have to be there
    else:
        with pytest.raises(DamagedError) as caught:
            load_manifest(tmp_path)
        assert MANIFEST in str(caught.value.where)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b'{"checksum": "\\ud800"}', b"\xff\xfe{\0}\0"])
def test_manifests_that_are_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(DamagedError) as caught:
        load_manifest(tmp_path)
    assert MANIFEST in str(caught.value.where)


@pytest.mark.parametrize("name", ["manifest_m00002.json", "manifest_m00368.json"])
def test_manifests_that_were_edited(name: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes((CASES / name).read_bytes())
    with pytest.raises(DamagedError):
        load_manifest(tmp_path)


def test_what_was_never_counted_is_none(tmp_path: Path) -> None:
    fill(tmp_path)
    assert load_manifest(tmp_path).counts["rows"] == 0


def test_a_finished_stage_takes_note_of_another_place(tmp_path: Path) -> None:
    fill(tmp_path)
    before = load_manifest(tmp_path)
    moved = Spec(SPEC.stage, SPEC.settings, SPEC.inputs, SPEC.packages, {"images": "/elsewhere"})
    assert fill(tmp_path, spec=moved) == []
    after = load_manifest(tmp_path)
    assert after.spec.context == {"images": "/elsewhere"} and after.digest == before.digest
    with reading(tmp_path):
        pass


# --- what killed processes leave -------------------------------------------------------------------------------------


def _dead() -> int:
    """The number of a process that has ended."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_a_killed_export_leaves_nothing_for_ever(tmp_path: Path) -> None:
    of_mine, dead, alive = os.getpid(), _dead(), os.getppid()
    name = temporary_name("o.jsonl")
    kept = [
        name,
        name.replace(f"-{of_mine}-", f"-{alive}-"),
        name.replace(f"-{of_mine}-", f"-{dead}-") + "x",
        f".tmp-other-host-{dead}-o.jsonl",
        "o.jsonl",
    ]
    gone = name.replace(f"-{of_mine}-", f"-{dead}-")
    for one in (*kept, gone):
        (tmp_path / one).touch()
    remove_leftovers(tmp_path, "o.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_killed_dry_run_leaves_nothing_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch() as folder:
        name = folder.name
        assert folder.parent == tmp_path
    left = tmp_path / name.replace(f"-{os.getpid()}-", f"-{_dead()}-")
    alive = tmp_path / name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
    for one in (left, alive, tmp_path / "negmine-other"):
        (one / "pairs").mkdir(parents=True)
    with scratch():
        assert not left.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([alive.name, "negmine-other"])


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["pairs", "negatives", "neighbours", "figures"])
@pytest.mark.parametrize("wrong", ["type", "empty", "column"])
def test_a_part_that_is_none_of_its_stage(stage: str, wrong: str, tmp_path: Path) -> None:
    """Whatever a manifest says of its checksum."""
    folder = tmp_path / stage
    folder.mkdir()
    schema = TABLES[stage]
    columns = {name: pa.nulls(1, kind) for name, kind in zip(schema.names, schema.types, strict=True)}
    if wrong == "type":
        columns["key"] = pa.array([7])
    if wrong == "column":
        columns["key"] = pa.array(["k"])
        del columns[schema.names[1]]
    pq.write_table(pa.table(columns), folder / "part-00000.parquet")
    with pytest.raises(DamagedError, match="this part cannot be read") as caught:
        read_part(folder, 0, schema.names)
    assert schema.names[1 if wrong == "column" else 0] in str(caught.value.why)
    assert "\n" not in str(caught.value.why)
