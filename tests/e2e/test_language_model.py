"""A real language model behind a real server: llama.cpp's, with 135 million parameters, on loopback.

What it writes is of little use; that it is bound by schemas and probabilities, and kept, is what is tested.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pyarrow.parquet as pq
import pytest

from tests.e2e.harness import CAPTIONS, PATIENCE, SAMPLE, hashes, negmine, refused, start, succeed

LLAMA = Path(os.environ.get("NEGMINE_LLAMA", Path(sys.executable).parents[1] / "llama"))
"""Where `scripts/llama_server.sh` puts the server and the model."""

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not (LLAMA / "llama-server").exists(), reason="no server here: make test-all builds it"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of the server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [LLAMA / "llama-server", "-m", LLAMA / "model.gguf", "--alias", "smollm2", "--port", port]
    command += ["-c", 8192, "-np", 4, "-t", 1]  # threads that wait for each other are slow beside other work
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while not _is_up(port):
            assert process.poll() is None and time.monotonic() < deadline, "the server does not start"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _is_up(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health") as reply:
            return bool(reply.status == 200)
    except (URLError, ConnectionError):
        return False


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    """The first of the sample's."""
    path = tmp_path / "captions.jsonl"
    path.write_text("\n".join(CAPTIONS.read_text().splitlines()[:3]) + "\n")
    return path


def test_a_model_writes_by_schema_and_judges_by_probability(url: str, captions: Path, tmp_path: Path) -> None:
    work, endpoint = tmp_path / "work", ("--llm-url", url, "--llm-model", "smollm2", "--json")
    ask = ("write", captions, "--images", SAMPLE, "--work", work, "--name", "small", *endpoint)
    asked = succeed(*ask, "--prompts", "replace_object,paraphrase", "--most-answer-tokens", 100, "--at-once", 4).figures
    assert asked["questions"] == asked["asked in this run"] == 6 and asked["tokens read"] > 600
    assert set(asked["answers by"]) == {"json_schema"} and set(asked["answers of no use"]) <= {"cut"}
    answers = pq.read_table(work / "answers/small/part-00000.parquet").to_pylist()
    assert all(set(json.loads(row["answer"])) == {"texts"} and row["served"] == "smollm2" for row in answers)
    before = hashes(work)
    again = succeed(*ask, "--prompts", "replace_object,paraphrase", "--most-answer-tokens", 100).figures
    assert again["asked in this run"] == 0 and hashes(work) == before

    found = succeed("judge", "small", "--name", "judged", "--work", work, *endpoint).figures
    rows = pq.read_table(work / "judged/judged/part-00000.parquet").to_pylist()
    assert len(rows) == found["texts"] == again["texts"] and not found["answers of no use"]
    assert all(0 < row["still_true"] < 1 and 0 < row["plausible"] < 1 for row in rows)
    assert found["kept"] + sum(found["refused"].values()) == found["texts"]
    succeed("verify", work)


def test_a_killed_run_goes_on(url: str, captions: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    ask = ("write", captions, "--work", work, "--name", "small", "--llm-url", url, "--llm-model", "smollm2", "--json")
    ask += ("--prompts", "replace_object,paraphrase", "--most-answer-tokens", "100")
    run, journal = start(*ask, "--at-once", 1), work / "answers/small/.journal.jsonl"
    assert run.wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 2)
    run.signal_group(signal.SIGKILL)
    run.process.wait()
    kept = journal.read_bytes().rpartition(b"\n")[0].split(b"\n")[1:]
    figures = succeed(*ask).figures
    assert figures["questions"] == 6 and figures["asked in this run"] == 6 - len(kept)
    rows = {row["question"]: row for row in pq.read_table(work / "answers/small/part-00000.parquet").to_pylist()}
    answers = [one for line in kept if "answer" in (one := json.loads(line.partition(b"\t")[0]))]
    assert answers and all(rows[one["question"]] == one for one in answers)


def test_a_model_that_the_server_does_not_have_is_refused(url: str, captions: Path, tmp_path: Path) -> None:
    outcome = negmine(
        "write", captions, "--work", tmp_path / "w", "--name", "small", "--llm-url", url, "--llm-model", "smollm3"
    )
    refused(outcome, 2, "unknown model", "smollm2")
