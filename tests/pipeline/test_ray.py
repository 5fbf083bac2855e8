"""Parts on a Ray cluster of two nodes are the local ones, byte for byte, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from negmine.base.errors import Exit, InputError, NegmineError, ResourceError, UsageError
from negmine.cli.engine_options import EngineOptions
from negmine.engine import PartFunction, run_phase
from negmine.engine.local import LocalEngine
from negmine.stages.neighbours.search import FLOAT32, search
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.sharded_index import hold, nearest
from negmine.stages.neighbours.stage import retrieve
from negmine.store import MANIFEST, PartRecord, Spec, Store, write_text

from tests.e2e.harness import (
    CAPTIONS,
    NEGMINE,
    Outcome,
    copy,
    hashes,
    leftovers,
    negmine,
    refused,
    succeed,
    times,
    write_embeddings,
    write_lines,
)
from tests.pipeline.test_shares import draw, look, mine, parse, read, shard, write_negatives

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Echo:
    """Writes one file a part; the part `at` dies, fails or goes wrong as often as asked."""

    scratch: Path
    deaths: int = 0
    error: Exception | None = None
    seconds: float = 0.0
    at: int = 1

    def setup(self) -> PartFunction:
        return partial(_echo, self)


def _echo(phase: Echo, index: int, folder: Path) -> PartRecord:
    (phase.scratch / f"{index}-{time.monotonic_ns()}").write_text(os.environ.get("RAY_RAYLET_PID", ""))
    time.sleep(phase.seconds)
    if index == phase.at:
        if len(list(phase.scratch.glob(f"{index}-*"))) <= phase.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        if phase.error is not None:
            raise phase.error
    return PartRecord(index, (write_text(folder, f"part-{index:05d}.json", f"{index}"),), {"pairs": 1})


def tries(scratch: Path, part: int) -> int:
    return len(list(scratch.glob(f"{part}-*")))


def _some(path: Path, start: int, stop: int) -> tuple[Any, Any]:
    return np.arange(start, stop), np.load(path, mmap_mode="r")[start:stop]


def _nothing() -> tuple[Any, Any]:
    return np.empty(0, dtype=np.int64), np.empty((0, 4), dtype=np.float32)


def ray_kill(actor: Any) -> None:
    import ray

    ray.kill(actor)


# --- no cluster ------------------------------------------------------------------------------------------------------

COMMAND = ["render", "--count", 4, "--size", 48, "--difficulty", 1, "--engine", "ray"]


def test_without_ray_the_install_is_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from negmine.cli.app import main; main()"
    command = [sys.executable, "-c", code, *map(str, COMMAND), "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    refused(Outcome(done.returncode, done.stdout, done.stderr), 2, "Ray is not installed", "pip install 'negmine[ray]'")


def test_wrong_addresses_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    at = [*COMMAND, "--work", tmp_path, "--ray-address"]
    refused(negmine(*at, "127.0.0.1:1"), 5, "cannot be reached", "127.0.0.1:1", "ray start --head")
    refused(negmine(*at, "ray://somewhere:10001"), 2, "no address of a Ray cluster", "HOST:PORT")


@pytest.mark.full
def test_a_port_that_is_not_rays(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        before = time.monotonic()
        outcome = negmine(*COMMAND, "--work", tmp_path, "--ray-address", address)
    refused(outcome, 5, "the Ray cluster cannot be reached", address)
    assert time.monotonic() - before < 30


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    for options, words in (
        (EngineOptions(rank=0), "go together"),
        (EngineOptions(rank=4, world_size=4), "no rank 4 of 4"),
        (EngineOptions(engine="ray", rank=0, world_size=2), "without Ray"),
        (EngineOptions(gpus=1), "--gpus are for Ray"),
    ):
        with pytest.raises(UsageError, match=words):
            _ = options.share
            options.start()


# --- clusters --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each, with `RayEngine` connected to them."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [before])])
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    made.add_node(**node)
    made.wait_for_nodes()
    yield made
    import ray

    ray.shutdown()
    made.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def connect(cluster: Any, **options: Any) -> Any:
    return EngineOptions(engine="ray", ray_address=cluster.address, **options).start()


def make(store: Path, phase: Echo, engine: Any, parts: int = 5) -> list[int]:
    """A stage of one phase; returns the parts that were missing."""
    with Store.open(store, Spec("test", {}, {})) as opened:
        missing = opened.missing(parts)
        run_phase(opened, phase, engine, parts, title="testing", unit="pairs", total=parts)
        opened.finish()
    return missing


@pytest.mark.full
class TestCluster:
    def test_every_stage_is_the_local_one(self, cluster: Any, tmp_path: Path) -> None:
        source, root = tmp_path / "captions.jsonl", tmp_path / "root"
        source.write_text("\n".join(CAPTIONS.read_text().splitlines()[:150]) + "\n")
        read(source, root, LocalEngine(1))
        encoder = write_embeddings(root / "work" / "pairs", tmp_path / "rows.npy")
        look_at = partial(look, write_negatives(tmp_path / "negatives.jsonl"))
        stages = (partial(read, source), parse, partial(mine, encoder), draw, shard, look_at)
        for stage in stages:
            stage(root, LocalEngine(1))
        local = hashes(root)
        root.rename(tmp_path / "local")
        for stage in stages:
            stage(root, connect(cluster))
        assert hashes(root) == local

    def test_the_command_on_the_cluster(self, cluster: Any, tmp_path: Path) -> None:
        options = ["render", "--count", 600, "--size", 48, "--difficulty", 1, "--negatives", 1]
        made = succeed(
            *options, "--work", tmp_path / "a", "--engine", "ray", "--ray-address", cluster.address, "--json"
        )
        succeed(*options, "--work", tmp_path / "b")
        assert made.figures["groups"] == 600
        for stage in ("figures", "negatives"):
            assert hashes(tmp_path / "a" / stage) == hashes(tmp_path / "b" / stage)

    def test_a_killed_process_is_replaced(self, cluster: Any, tmp_path: Path) -> None:
        (scratch := tmp_path / "scratch").mkdir()
        make(tmp_path / "ray", Echo(scratch, deaths=2), connect(cluster))
        make(tmp_path / "local", Echo(scratch), LocalEngine(1))
        assert list(hashes(tmp_path / "ray").values()) == list(hashes(tmp_path / "local").values())
        assert tries(scratch, 1) == 4  # two deaths, and once for each engine

    def test_a_part_that_kills_every_process(self, cluster: Any, tmp_path: Path) -> None:
        (scratch := tmp_path / "scratch").mkdir()
        with pytest.raises(ResourceError, match="part 1: it ended 3 worker processes"):
            make(tmp_path / "store", Echo(scratch, deaths=99), connect(cluster))
        assert tries(scratch, 1) == 3
        assert make(tmp_path / "store", Echo(scratch), connect(cluster)) == [1]

    @pytest.mark.parametrize(
        ("error", "kind", "status"),
        [
            (InputError("bad row", where="row 7", fix="mend it"), InputError, Exit.BAD_INPUT),
            (ZeroDivisionError("division by zero"), NegmineError, Exit.BUG),
        ],
    )
    def test_a_part_that_always_fails(
        self, cluster: Any, tmp_path: Path, error: Exception, kind: type[NegmineError], status: Exit
    ) -> None:
        (scratch := tmp_path / "scratch").mkdir()
        with pytest.raises(kind, match="part 1: ") as caught:
            make(tmp_path / "store", Echo(scratch, error=error), connect(cluster))
        assert caught.value.status == status
        assert make(tmp_path / "store", Echo(scratch), connect(cluster)) == [1]
        assert [tries(scratch, part) for part in range(5)] == [1, 2, 1, 1, 1]

    @pytest.mark.parametrize("engine", ["local", "ray"])
    def test_the_command_with_a_part_that_always_fails(self, cluster: Any, tmp_path: Path, engine: str) -> None:
        """The second of three parts of the pairs is damaged, in a way that only reading it shows."""
        rows = [{"image_id": "i7", "caption": f"{n} dogs"} for n in range(4096)]
        rows += [{"image_id": image, "caption": "a red dog near a blue cat"} for image in ("i2", "i3")]
        source = write_lines(tmp_path / "captions.jsonl", rows)
        command = ("parse", source, "--preset", "swaps", "--workers", 2, "--work")
        succeed(*command, tmp_path / "whole" / "work")
        work = tmp_path / engine / "work"
        pairs, made = copy(tmp_path / "whole" / "work" / "pairs", work / "pairs"), work / "negatives"
        damaged = pairs / "part-00001.parquet"
        content = damaged.read_bytes()
        damaged.write_bytes(bytes(len(content)))
        where = () if engine == "local" else ("--engine", "ray", "--ray-address", cluster.address)
        for _ in range(2):
            refused(negmine(*command, work, *where), 4, "part 1: this part cannot be read", damaged)
            kept = times(made)
            assert "part-00000.parquet" in kept and "part-00001.parquet" not in kept and MANIFEST not in kept
            assert leftovers(made) == []
        if engine == "ray":
            assert "part-00002.parquet" in kept
        damaged.write_bytes(content)
        succeed(*command, work, *where)
        assert hashes(work) == hashes(tmp_path / "whole" / "work")
        assert all(times(made)[name] == written for name, written in kept.items() if name.startswith("part-"))

    def test_search_over_actors_is_the_local_search(self, cluster: Any, tmp_path: Path) -> None:
        more = cluster.add_node(num_cpus=3, object_store_memory=100 * 2**20)
        cluster.wait_for_nodes()
        engine = connect(cluster)
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(100_000, 512)).astype(np.float32)
        rows[70_000:70_050] = rows[:50]  # equal scores, which ids must order, in different actors
        np.save(tmp_path / "rows.npy", rows)
        queries = np.concatenate([rows[:100], rng.normal(size=(156, 512)).astype(np.float32)])
        scores, ids = search(queries, [(np.arange(len(rows)), rows)], 50)
        assert (ids[:50, 1] == np.arange(70_000, 70_050)).all()
        for count in (1, 2, 3):
            bounds = np.linspace(0, len(rows), count + 1).astype(int)
            shares = [partial(_some, tmp_path / "rows.npy", a, b) for a, b in pairwise(bounds.tolist())]
            with engine.serve([partial(hold, share, FLOAT32) for share in shares]) as servers:
                found, names = nearest(servers, queries, 50)
                assert (names == ids).all() and (found == scores).all(), count
                if count == 3:
                    ray_kill(servers.actors[1])
                    with pytest.raises(ResourceError, match="actor 1 of 3"):
                        nearest(servers, queries[:2], 5)
        with pytest.raises(ResourceError, match="do not fit"), engine.serve([_nothing] * 9):
            pass
        cluster.remove_node(more)

    def test_retrieve_with_database_actors_is_the_local_one(self, cluster: Any, tmp_path: Path) -> None:
        source, root = tmp_path / "captions.jsonl", tmp_path / "root"
        source.write_text("\n".join(CAPTIONS.read_text().splitlines()[:150]) + "\n")
        read(source, root, LocalEngine(1))
        settings = RetrieveSettings(encoder=write_embeddings(root / "work" / "pairs", tmp_path / "rows.npy"))
        retrieve(settings, root / "work", LocalEngine(1))
        local = hashes(root / "work" / "neighbours")
        retrieve(settings, root / "work", connect(cluster), actors=1, overwrite=True)
        assert hashes(root / "work" / "neighbours") == local
        with pytest.raises(UsageError, match="--database-actors"):
            retrieve(settings, root / "work", LocalEngine(1), actors=1)

    def test_a_removed_node(self, cluster: Any, tmp_path: Path) -> None:
        (scratch := tmp_path / "scratch").mkdir()
        third = cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)
        cluster.wait_for_nodes()
        raylet = str(third.all_processes["raylet"][0].process.pid)
        engine, made = connect(cluster), []
        with Store.open(tmp_path / "ray", Spec("test", {}, {})) as opened:
            for record in engine.run(Echo(scratch, seconds=1, at=-1), opened.folder, range(24)):
                made.append(record.index)
                opened.commit(record)
                if third is not None and raylet in {path.read_text() for path in scratch.iterdir()}:
                    cluster.remove_node(third, allow_graceful=False)
                    third = None
            opened.finish()
        assert sorted(made) == list(range(24))
        assert third is None
        assert any(tries(scratch, part) > 1 for part in range(24))  # begun on the node, and made again
        make(tmp_path / "local", Echo(scratch), LocalEngine(1), 24)
        assert list(hashes(tmp_path / "ray").values()) == list(hashes(tmp_path / "local").values())

    def test_nothing_finished_for_too_long(self, cluster: Any, tmp_path: Path) -> None:
        (scratch := tmp_path / "scratch").mkdir()
        engine = connect(cluster, stall_timeout=0.05)
        with pytest.raises(ResourceError, match="no part was finished for 0") as caught:
            make(tmp_path / "store", Echo(scratch, seconds=60), engine, 2)
        assert str(caught.value.where).endswith("parts 0, 1")

    def test_what_no_node_has(self, cluster: Any) -> None:
        with pytest.raises(ResourceError, match="a part wants 1 GPUs, and no machine"):
            connect(cluster, gpus=1)

    def test_a_folder_that_the_node_does_not_see(self, cluster: Any, tmp_path: Path) -> None:
        (scratch := tmp_path / "scratch").mkdir()
        with pytest.raises(ResourceError, match="does not see the folder"):
            list(connect(cluster).run(Echo(scratch), tmp_path / "elsewhere", [0]))

    def test_too_little_shared_memory(self, tmp_path: Path) -> None:
        """In a mount namespace with a small one, as in a container."""
        if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
            pytest.skip("needs the right to make namespaces")
        command = [NEGMINE, *map(str, COMMAND), "--work", str(tmp_path)]
        script = 'mount -t tmpfs -o size=64m none /dev/shm && exec "$@"'
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *command], capture_output=True, text=True)
        refused(Outcome(done.returncode, done.stdout, done.stderr), 5, "too little shared memory", "--shm-size")
