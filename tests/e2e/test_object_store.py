"""Folders in an object store over HTTP, whose server fails: the bytes of a disk, nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ahnpl.data.shards import open_shards

from tests.e2e.harness import CAPTIONS, SAMPLE, hashes, negmine, refused, start, succeed, write_embeddings
from tests.e2e.object_store import KEY, SECRET, Proxy, object_store

FAULTS = 0.05
BALANCED = ("parse", CAPTIONS, "--images", SAMPLE, "--limit", 300)
PARSE = ("parse", CAPTIONS, "--images", SAMPLE, "--limit", 200, "--preset", "swaps")
SHARD = ("shard", "--shard-size", 40)
FEW = ("render", "--domain", "scenes", "--count", 12, "--size", 64)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    """An empty bucket; the commands find it, and their credentials, in the environment."""
    (tmp_path / "scratch").mkdir()
    with object_store() as proxy:
        for name, value in {
            "AWS_ENDPOINT_URL": proxy.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(tmp_path / "scratch"),
        }.items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``work/`` and ``data/`` on a disk."""
    folder = tmp_path_factory.mktemp("local")
    succeed(*PARSE, "--work", folder / "work", "--workers", 2)
    succeed(*SHARD, "--work", folder / "work", "--out", folder / "data", "--workers", 2)
    return folder


def _whole(store: Proxy, *folders: Path) -> None:
    """The bucket holds what the folders hold: no object more, none less, every byte equal."""
    assert store.hashes() == hashes(*folders)


class TestStages:
    def test_faults_and_a_restart(self, store: Proxy, local: Path) -> None:
        store.rate = FAULTS
        told = [succeed(*PARSE, "--work", "s3://bkt/work", "--workers", 2, "--json")]
        store.restart(3.0)
        told.append(succeed(*SHARD, "--work", "s3://bkt/work", "--out", "s3://bkt/data", "--workers", 2))
        assert "written to s3://bkt/data" in told[1].out
        assert store.done.keys() >= {"500", "reset", "half an upload", "half an answer", "restart"}
        store.rate = 0
        assert not [one.err for one in told if "stamina" in one.err]  # what tries again speaks in our words
        _whole(store, local / "work", local / "data")
        succeed("verify", "s3://bkt/data")
        assert not list(Path(os.environ["TMPDIR"]).glob("negmine-*"))
        texts = [one.out + one.err for one in told]
        texts += [store.direct.cat_file(key).decode("latin-1") for key in store.direct.find("bkt")]
        assert not [text for text in texts if KEY in text or SECRET in text]

    def test_killed_and_resumed(self, store: Proxy, local: Path) -> None:
        succeed(*PARSE, "--work", "s3://bkt/work", "--workers", 1)
        running = start(*SHARD, "--work", "s3://bkt/work", "--out", "s3://bkt/data", "--workers", 1)
        assert running.wait_until(lambda: store.direct.exists("bkt/data/shard-00002.tar"))
        running.signal_group(signal.SIGKILL)
        running.process.wait()
        files = store.direct
        files.pipe_file("bkt/data/.tmp-0123-shard-00003.tar", b"half")  # an upload that never ended
        succeed(*SHARD, "--work", "s3://bkt/work", "--out", "s3://bkt/data", "--workers", 1)
        _whole(store, local / "work", local / "data")

    @pytest.mark.full
    def test_what_is_lost_is_made_again(self, store: Proxy, local: Path) -> None:
        succeed(*PARSE, "--work", "s3://bkt/work", "--workers", 1)
        command = (*SHARD, "--work", "s3://bkt/work", "--out", "s3://bkt/data", "--workers", 1)
        succeed(*command)
        files = store.direct
        files.pipe_file("bkt/data/shard-00001.tar", files.cat_file("bkt/data/shard-00001.tar")[:1000])
        files.rm_file("bkt/data/shard-00002.tar")
        refused(negmine("verify", "s3://bkt/data", "--fast"), 4, "shard-00001.tar has 1,000", "shard-00002.tar is miss")
        succeed(*command)
        _whole(store, local / "work", local / "data")

    def test_input(self, store: Proxy, tmp_path: Path) -> None:
        """Captions and images: a store that fails has not lost an image."""
        options = ("--limit", 100, "--preset", "swaps", "--workers", 1)
        succeed("parse", CAPTIONS, "--images", SAMPLE, *options, "--work", tmp_path / "near")
        store.direct.put(str(SAMPLE), "bkt/in", recursive=True)
        store.rate = 0.2
        succeed("parse", "s3://bkt/in/captions.jsonl", "--images", "s3://bkt/in", *options, "--work", tmp_path / "far")
        near, far = (hashes(tmp_path / name / "pairs") for name in ("near", "far"))
        assert near.pop("pairs/manifest.json") != far.pop("pairs/manifest.json")  # it says where the images lie
        assert near == far
        assert store.done["500"] and store.done["half an answer"]

    @pytest.mark.full
    def test_phases_that_leave_nothing(self, store: Proxy, tmp_path: Path) -> None:
        """The balanced choice keeps what it works with in hidden folders, which go."""
        succeed(*BALANCED, "--work", tmp_path / "work", "--workers", 2)
        store.rate = FAULTS
        succeed(*BALANCED, "--work", "s3://bkt/work", "--workers", 2)
        store.rate = 0
        _whole(store, tmp_path / "work")

    @pytest.mark.full
    def test_neighbours(self, store: Proxy, local: Path, tmp_path: Path) -> None:
        encoder = write_embeddings(local / "work" / "pairs", tmp_path / "rows.npy")
        options = ("--encoder", encoder, "--filter", "percentage=1", "--workers", 1)
        succeed(*PARSE, "--work", tmp_path / "work", "--workers", 1)
        succeed("retrieve", "--work", tmp_path / "work", *options)
        store.rate = FAULTS
        succeed(*PARSE, "--work", "s3://bkt/work", "--workers", 1)
        succeed("retrieve", "--work", "s3://bkt/work", *options)
        store.rate = 0
        _whole(store, tmp_path / "work")

    @pytest.mark.full
    def test_figures(self, store: Proxy, tmp_path: Path) -> None:
        succeed(*FEW, "--work", tmp_path / "work", "--workers", 1)
        store.rate = FAULTS
        succeed(*FEW, "--work", "s3://bkt/work", "--workers", 1)
        succeed("shard", "--work", "s3://bkt/work", "--out", "s3://bkt/data", "--workers", 1)
        store.rate = 0
        there, here = store.hashes(), hashes(tmp_path / "work")
        differing = {name for name in here if there[name] != here[name]}
        assert differing == {"work/pairs/manifest.json"}  # it says where the images lie
        pairs = json.loads(store.direct.cat_file("bkt/work/pairs/manifest.json"))
        assert "s3://bkt/work/figures" in json.dumps(pairs)

    @pytest.mark.full
    def test_audit_and_report(self, store: Proxy, local: Path, tmp_path: Path) -> None:
        audit, there = ("audit", "--workers", 1, "--work"), store.direct
        succeed(*audit, local / "work", "--out", tmp_path / "audit")
        store.rate = FAULTS
        succeed(*PARSE, "--work", "s3://bkt/work", "--workers", 1)
        assert "written to s3://bkt/work/audit" in succeed(*audit, "s3://bkt/work").out
        told = succeed("report", "--work", "s3://bkt/work", "--out", "s3://bkt/pages/one.html", "--json")
        assert told.summary["outputs"] == {"written to": "s3://bkt/pages/one.html"}
        store.rate = 0
        near, far = hashes(tmp_path / "audit"), store.hashes()
        differing = {name for name, content in near.items() if far[f"work/{name}"] != content}
        assert differing == {f"audit/{name}" for name in ("audit.html", "audit.json", "manifest.json")}  # it is named
        report = there.cat_file("bkt/pages/one.html").decode()
        assert report.count("<img") > 20 and "were not audited" not in report
        for page in (report, there.cat_file("bkt/work/audit/audit.html").decode()):
            assert "negmine-mirror" not in page
        assert "Audit of s3://bkt/work" in page
        assert succeed("verify", "s3://bkt/work").status == 0

    @pytest.mark.full
    def test_ranks(self, store: Proxy, local: Path) -> None:
        succeed(*PARSE, "--work", "s3://bkt/work", "--workers", 1)
        command = (*SHARD, "--work", "s3://bkt/work", "--out", "s3://bkt/data", "--workers", 1)
        for rank in (1, 0):
            succeed(*command, "--rank", rank, "--world-size", 2)
        succeed("merge", *command)
        _whole(store, local / "work", local / "data")

    def test_one_writer(self, store: Proxy) -> None:
        body = json.dumps({"host": "elsewhere", "process": 7, "run": "x"}).encode()
        store.direct.pipe_file("bkt/work/pairs/.lock", body)
        refused(negmine(*PARSE, "--work", "s3://bkt/work"), 5, "s3://bkt/work/pairs", "host elsewhere, process 7")

    @pytest.mark.parametrize(
        "body", [b"[1]", b"[" * 100_000, b'{"host": 7}', b'{"host": "HERE", "process": "x"}', b"\xff"]
    )
    def test_a_lock_of_another_making(self, body: bytes, store: Proxy) -> None:
        """Whatever it says, it is held until it runs out."""
        store.direct.pipe_file("bkt/work/pairs/.lock", body.replace(b"HERE", socket.gethostname().encode()))
        refused(negmine(*PARSE, "--work", "s3://bkt/work"), 5, "another run is using this folder")


ODD = "o?d*[v1]{a,b} #%20+&=é'"


class TestNames:
    def test_keys_are_themselves(self, store: Proxy, tmp_path: Path) -> None:
        """Also as patterns would read them, and with doubled slashes and ``..`` as on a disk."""
        few = ("--limit", 20, "--preset", "swaps", "--workers", 1)
        store.direct.pipe_file("bkt/oxdyv/wrong.tar", b"what the pattern would match")
        succeed("parse", CAPTIONS, "--images", SAMPLE, *few, "--work", tmp_path / "work")
        succeed("shard", "--work", tmp_path / "work", "--out", tmp_path / "data", "--workers", 1)
        succeed("parse", CAPTIONS, "--images", SAMPLE, *few, "--work", f"s3://bkt//{ODD}/x/../work/")
        told = succeed("shard", "--work", f"s3://bkt/{ODD}/work", "--out", f"s3://bkt/{ODD}/data", "--workers", 1)
        assert f"written to s3://bkt/{ODD}/data" in told.out
        store.direct.rm_file("bkt/oxdyv/wrong.tar")
        expected = hashes(tmp_path / "work", tmp_path / "data")
        assert store.hashes() == {f"{ODD}/{name}": digest for name, digest in expected.items()}
        succeed("verify", f"s3://bkt/{ODD}/data")
        store.direct.put(str(CAPTIONS), f"bkt/{ODD}/in.jsonl")
        succeed("parse", f"s3://bkt/{ODD}/in.jsonl", *few, "--work", tmp_path / "far")

    def test_shards_for_the_trainer(self, store: Proxy, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("shard-00000.tar", "shard-00001.tar", "index.json"):
            store.direct.put_file(str(local / "data" / name), f"bkt/{ODD}/{name}")
        found = open_shards([f"s3://bkt/{ODD}/*.tar"])
        assert [shard.url for shard in found.shards] == [f"s3://bkt/{ODD}/shard-0000{n}.tar" for n in (0, 1)]
        assert open_shards([f"s3://bkt/{ODD}/shard-{{00000..00001}}.tar"]) == found

    def test_nothing_leaves_the_bucket(self, store: Proxy) -> None:
        refused(negmine(*PARSE, "--work", "s3://../../etc"), 2, "names no bucket")


TRAIN = (
    sys.executable,
    "-c",
    "from ahnpl.cli import train_main; train_main()",
    "--model",
    "tiny",
    "--batch-size",
    "16",
    "--steps",
    "6",
    "--save-every",
    "2",
    "--log-every",
    "1",
    "--workers",
    "0",
    "--lr",
    "1e-3",
)


def _losses(out: Path) -> list[Any]:
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [row["loss"] for row in map(json.loads, lines) if "loss" in row]


class TestTraining:
    @pytest.mark.full
    def test_killed_and_resumed_among_faults(self, store: Proxy, local: Path, tmp_path: Path) -> None:
        store.direct.put(str(local / "data"), "bkt/data", recursive=True)
        near, far = tmp_path / "near", tmp_path / "far"
        subprocess.run([*TRAIN, "--shards", f"{local}/data/*.tar", "--out", near], check=True, capture_output=True)
        store.rate = FAULTS
        command = [*map(str, TRAIN), "--shards", "s3://bkt/data/*.tar", "--out", str(far)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while len(_losses(far)) < 3 and process.poll() is None:
            pass
        process.kill()
        process.wait()
        store.restart(3.0)
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        assert KEY not in ended.stderr + ended.stdout
        assert len(_losses(near)) == 6
        assert _losses(far) == _losses(near)


class TestRefusals:
    @pytest.mark.parametrize(
        ("refusal", "words"),
        [
            (("AccessDenied", f"{KEY} may not do this"), ("does not permit", "environment")),
            (
                ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
                ("clock", "NTP"),
            ),
        ],
    )
    def test_by_the_store(self, store: Proxy, tmp_path: Path, refusal: tuple[str, str], words: tuple[str, ...]) -> None:
        store.refusal = refusal
        for command, where in (
            ((*PARSE, "--work", "s3://bkt/work"), "s3://bkt/work"),
            (("audit", "--work", "s3://bkt/work"), "s3://bkt/work"),
            (("parse", "s3://bkt/captions.jsonl", "--work", tmp_path / "work"), "s3://bkt/captions.jsonl"),
        ):
            outcome = negmine(*command)
            refused(outcome, 5, where, *words)
            assert KEY not in outcome.err

    def test_no_bucket(self, store: Proxy) -> None:
        refused(negmine(*PARSE, "--work", "s3://nowhere/work"), 5, "s3://nowhere/work", "bucket")

    def test_no_driver(self, store: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "s3fs.py").write_text("raise ImportError('no s3fs')")
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
        refused(negmine(*PARSE, "--work", "s3://bkt/work"), 2, "pip install 'negmine[s3]'")

    @pytest.mark.parametrize(
        "command",
        [
            ("audit", "--negatives", "s3://bkt/one.jsonl"),
            ("export", "negclip", "--out", "s3://bkt/one.jsonl"),
            ("report", "s3://bkt/one.jsonl"),
        ],
    )
    def test_what_must_be_on_a_disk(self, tmp_path: Path, command: tuple[str, ...]) -> None:
        refused(negmine(*command, "--work", tmp_path), 2, "this must be on a disk", "s3://bkt/one.jsonl")

    def test_credentials_in_an_address(self, store: Proxy) -> None:
        bad = f"s3://{KEY}:{SECRET}@bkt/work"
        for command in (
            (*PARSE, "--work", bad),
            ("parse", bad),
            ("parse", CAPTIONS, "--images", bad),
            ("verify", bad),
            ("shard", "--out", bad),
            ("report", "--out", f"{bad}/page.html"),
        ):
            outcome = negmine(*command)
            refused(outcome, 2, "holds no credentials")
            assert KEY not in outcome.err and SECRET not in outcome.err
