"""One work folder and one set of shards, made once by the commands; tests copy what they change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness import CAPTIONS, SAMPLE, succeed, write_embeddings


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``work/`` after parse and retrieve, ``shards/`` of it, and ``rows.npy``, the embeddings."""
    folder = tmp_path_factory.mktemp("e2e")
    work = folder / "work"
    succeed("parse", CAPTIONS, "--images", SAMPLE, "--work", work, "--workers", 1)
    encoder = write_embeddings(work / "pairs", folder / "rows.npy")
    succeed("retrieve", "--work", work, "--encoder", encoder, "--filter", "percentage=1", "--workers", 1)
    succeed("shard", "--work", work, "--out", folder / "shards", "--shard-size", 200, "--workers", 1)
    return folder


@pytest.fixture(scope="session")
def work(root: Path) -> Path:
    return root / "work"


@pytest.fixture(scope="session")
def shards(root: Path) -> Path:
    return root / "shards"


@pytest.fixture(scope="session")
def encoder(root: Path) -> str:
    return f"npy:{root / 'rows.npy'}"
