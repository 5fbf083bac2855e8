"""What a million, a hundred million and a thousand million pairs take: machines, hours, storage.

    python benchmarks/scaling.py [--speed docs/speed.md] [--page docs/scaling.md]

Rates are read from the page that ``benchmarks/speed`` wrote; what is not there (reading the source, images of 224
pixels, entering parts) is measured here, on data/sample, in about half a minute on one core. The section of the page
between the two marks is written anew.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from textwrap import wrap
from typing import Final

from negmine.images.decode import MAX_PIXELS
from negmine.images.locate import inspect_image
from negmine.sources.jsonl import Jsonl
from negmine.stages.pairs.gather import Limits, gather
from negmine.stages.shards.write import encoded
from negmine.store import FileRecord, PartRecord, Spec, Store, load_manifest

SAMPLE: Final = Path(__file__).parents[1] / "data" / "sample"
SIDE: Final = 224
"""Of images in shards, pixels."""
TINY: Final = 64
"""The same in the comparison of memory: what a sample takes beside its image follows from it."""
WIDTH: Final = 140
ROWS: Final = 100_000
PARTS: Final = 2_000
PART_SIZE: Final = 4_096

PAIRS: Final = {10**6: (1, 16), 10**8: (4, 64), 10**9: (64, 64)}
"""Number of pairs to machines and cores of each."""
FOLDER: Final = 10**6
"""Pairs of a work folder, where there are more than `EXACT`."""
EXACT: Final = 10**7
TARGETS: Final = 8 * 10**6
"""A caption is compared with so many others there: its own cell and the seven nearest."""
DIMENSIONS: Final = 384
SEARCHED: Final = 2 * 100_000 * 512
"""Operations of a query in the comparison of searches."""
DOLLARS: Final = 0.04
BYTES_PER_SECOND: Final = 1e9
START, END = "<!-- cost model -->", "<!-- end of the cost model -->"

_READ: Final = {
    "parse": r"\| `parse`, [\d,]+ pairs \| pairs/s \| ([\d,.]+)",
    "retrieve": r"\| `retrieve`, [\d,]+ pairs \| pairs/s \| ([\d,.]+)",
    "captions": r"\| encoder `minilm` \| captions/s \| ([\d,.]+)",
    "photos": r"\| encoder `lite0` \| photos/s \| ([\d,.]+)",
    "queries": r"\| search, products in bfloat16 \| queries/s \| ([\d,.]+)",
    "samples": r"\| stream, decoded and tokenised \| samples/s \| ([\d,.]+)",
    "pairs_bytes": r"bytes a pair: pairs ([\d,]+)",
    "negatives_bytes": r"bytes a pair: pairs [\d,]+, negatives ([\d,]+)",
    "embeddings_bytes": r"bytes a pair: embeddings ([\d,]+)",
    "neighbours_bytes": r"bytes a pair: embeddings [\d,]+, neighbours ([\d,]+)",
    "shards_bytes": r"bytes a pair: shards ([\d,]+)",
    "parse_mb": r"`parse` of [\d,]+ pairs: [\d,]+ s on the wall, peak ([\d,]+) MB",
}
"""Where the page about speed says a number."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", type=Path, default=Path("docs/speed.md"))
    parser.add_argument("--page", type=Path, default=Path("docs/scaling.md"))
    options = parser.parse_args()
    rates = read_rates(options.speed.read_text(encoding="utf-8")) | measured()
    text = options.page.read_text(encoding="utf-8")
    options.page.write_text(placed(text, section(rates)), encoding="utf-8")
    print(section(rates))


def read_rates(text: str) -> dict[str, float]:
    """The numbers of `_READ` by name, all of one core.

    Raises:
        SystemExit: the page does not say one of them.
    """
    one_line = " ".join(text.split())
    found = {name: re.search(pattern, one_line) for name, pattern in _READ.items()}
    missing = [name for name, match in found.items() if match is None]
    if missing:
        raise SystemExit(f"the page about speed does not say: {', '.join(missing)}; run python benchmarks/speed")
    return {name: float(match[1].replace(",", "")) for name, match in found.items() if match}


def placed(page: str, text: str) -> str:
    """The page with its section between the marks replaced."""
    before, _, rest = page.partition(START)
    if END not in rest:
        raise SystemExit(f"the page has no {START} and {END}")
    return f"{before}{START}\n{text}\n{END}{rest.partition(END)[2]}"


# --- what is measured here -------------------------------------------------------------------------------------------


def measured(turns: int = 3) -> dict[str, float]:
    """By one core and second: rows gathered, photos looked at and shrunk, parts entered; and bytes of a photo."""
    photos = [path.read_bytes() for path in sorted((SAMPLE / "images").glob("*.jpg"))]
    small = [encoded(photo, SIDE, MAX_PIXELS)[1] for photo in photos]
    with TemporaryDirectory() as scratch:
        places = (Path(scratch) / str(number) for number in range(3 * turns))
        parts, manifest_bytes, load = _store(next(places))
        return {
            "rows": median(_rows(next(places)) for _ in range(turns)),
            "inspected": _rate(photos, lambda photo: inspect_image(photo), turns),
            "shrunk": _rate(photos, lambda photo: encoded(photo, SIDE, MAX_PIXELS), turns),
            "photo_bytes": sum(map(len, photos)) / len(photos),
            "small_bytes": sum(map(len, small)) / len(small),
            "tiny_bytes": sum(len(encoded(photo, TINY, MAX_PIXELS)[1]) for photo in photos) / len(photos),
            "parts": parts,
            "manifest_bytes": manifest_bytes,
            "load_us": load,
        }


def _rate(items: Sequence[bytes], work: Callable[[bytes], object], turns: int) -> float:
    def turn() -> float:
        started = time.process_time()
        for item in items:
            work(item)
        return len(items) / (time.process_time() - started)

    return median(turn() for _ in range(turns))


def _rows(folder: Path) -> float:
    """Captions of the sample over and over, under new images, from JSONL to gathered parts."""
    folder.mkdir()
    captions = [json.loads(line)["caption"] for line in (SAMPLE / "captions.jsonl").read_text().splitlines()]
    with (folder / "rows.jsonl").open("w") as lines:
        for number in range(ROWS):
            row = {"image": f"{number}.jpg", "caption": captions[number % len(captions)]}
            lines.write(json.dumps(row) + "\n")
    started = time.process_time()
    gather(Jsonl().read(str(folder / "rows.jsonl")), folder / "out", Limits(2_000, PART_SIZE))
    return ROWS / (time.process_time() - started)


def _store(folder: Path) -> tuple[float, float, float]:
    """Parts entered in a second on the wall, bytes of the manifest by part, microseconds by part to read it."""
    with Store.open(folder, Spec("scaling", {}, {})) as store:
        started = time.monotonic()
        for index in range(PARTS):
            store.commit(PartRecord(index, (FileRecord(f"part-{index:05d}.parquet", PART_SIZE, 10**6, "0" * 64),), {}))
        rate = PARTS / (time.monotonic() - started)
        store.finish()
    size = (folder / "manifest.json").stat().st_size
    started = time.process_time()
    load_manifest(folder)
    return rate, size / PARTS, 1e6 * (time.process_time() - started) / PARTS


# --- arithmetic ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What a number of pairs takes.

    Attributes:
        core_hours: by step.
        wall_hours: all steps, one after the other, each on all cores.
        bytes: by what is stored.
        memory: bytes on a machine, with a worker of ``parse`` on each core.
    """

    machines: int
    cores: int
    folders: int
    core_hours: Mapping[str, float]
    wall_hours: float
    bytes: Mapping[str, float]
    memory: float


def cost(pairs: int, rates: Mapping[str, float]) -> Cost:
    """One image and one caption a pair; mining among captions."""
    machines, cores = PAIRS[pairs]
    folders = max(1, pairs // FOLDER) if pairs > EXACT else 1
    targets = pairs if pairs <= EXACT else TARGETS
    hours = {
        "the source read, its rows grouped": 1 / rates["rows"],
        "images looked at": 1 / rates["inspected"],
        "`parse`": 1 / rates["parse"],
        "captions embedded, `minilm`": 1 / rates["captions"],
        "searched": 2 * targets * DIMENSIONS / (rates["queries"] * SEARCHED),
        "the rest of `retrieve`": 1 / rates["retrieve"],
        f"images shrunk to {SIDE} and written": 1 / rates["shrunk"],
    }
    hours = {name: pairs * seconds / 3600 for name, seconds in hours.items()}
    alone = hours["the source read, its rows grouped"]  # one core a folder
    wall = alone / min(folders, machines * cores) + (sum(hours.values()) - alone) / (machines * cores)
    stored = {
        "images as they came": rates["photo_bytes"],
        "`work/`": sum(rates[f"{name}_bytes"] for name in ("pairs", "negatives", "embeddings", "neighbours")),
        f"shards, {SIDE} pixels": rates["small_bytes"] + rates["shards_bytes"] - rates["tiny_bytes"],
    }
    return Cost(
        machines,
        cores,
        folders,
        hours,
        wall,
        {name: pairs * size for name, size in stored.items()},
        cores * rates["parse_mb"] / 2 * 1e6,
    )


def section(rates: Mapping[str, float]) -> str:
    """The section of the page."""
    costs = {pairs: cost(pairs, rates) for pairs in PAIRS}
    return "\n".join([*_measured_rows(rates), "", *_cost_rows(costs), "", *_notes(rates)])


def _measured_rows(rates: Mapping[str, float]) -> Iterator[str]:
    here, speed = "`benchmarks/scaling.py`", "[speed](speed.md)"
    yield from ("Measured, one core of the machine named in [speed](speed.md):", "")
    yield from ("| what | rate | by |", "| --- | --- | --- |")
    rows = (
        ("rows read and grouped by image, JSONL", f"{rates['rows']:,.0f} rows/s", here),
        ("images looked at (decoded once, hashed)", f"{rates['inspected']:,.0f} images/s", here),
        (f"images shrunk to {SIDE} pixels", f"{rates['shrunk']:,.0f} images/s", here),
        ("`parse`, whole", f"{rates['parse']:,.0f} captions/s", speed),
        ("captions embedded, `minilm`", f"{rates['captions']:,.0f} captions/s", speed),
        ("images embedded, `lite0`", f"{rates['photos']:,.0f} images/s", speed),
        ("products of the search, bfloat16", f"{rates['queries'] * SEARCHED / 1e9:,.0f} GFLOP/s", speed),
        ("`retrieve` beside encoder and search", f"{rates['retrieve']:,.0f} pairs/s", speed),
        ("an epoch read, decoded, tokenised", f"{rates['samples']:,.0f} samples/s", speed),
        ("parts entered, each safe on the disk", f"{rates['parts']:,.0f} parts/s on the wall", here),
        (
            "a manifest, read and checked",
            f"{rates['manifest_bytes']:,.0f} bytes and {rates['load_us']:.0f} µs a part",
            here,
        ),
    )
    yield from (f"| {what} | {rate} | {by} |" for what, rate, by in rows)


def _cost_rows(costs: Mapping[int, Cost]) -> Iterator[str]:
    some = list(costs.values())
    yield from ("Arithmetic from these:", "")
    yield "| core hours | " + " | ".join(f"{pairs:,} pairs" for pairs in costs) + " |"
    yield "| --- |" + " --- |" * len(costs)
    for name in some[0].core_hours:
        yield _row(name, (_short(one.core_hours[name]) for one in some))
    yield _row("**all**", (f"**{_short(sum(one.core_hours.values()))}**" for one in some))
    yield _row("machines and their cores", (f"{one.machines} x {one.cores}" for one in some))
    yield _row("work folders", (f"{one.folders:,}" for one in some))
    yield _row("**hours on the wall**", (f"**{_short(one.wall_hours)}**" for one in some))
    yield _row(f"dollars at {DOLLARS} a core hour", (_short(sum(one.core_hours.values()) * DOLLARS) for one in some))
    yield _row("memory a machine", (_bytes(one.memory) for one in some))
    for name in some[0].bytes:
        yield _row(f"stored: {name}", (_bytes(one.bytes[name]) for one in some))
    moved = (sum(one.bytes.values()) / one.machines / BYTES_PER_SECOND / 3600 for one in some)
    yield _row("hours to move what is stored, 1 GB/s a machine", map(_short, moved))


def _notes(rates: Mapping[str, float]) -> Iterator[str]:
    parts, minutes = EXACT / PART_SIZE, EXACT / rates["rows"] / 60
    photo, small = (rates[f"{name}_bytes"] / 1000 for name in ("photo", "small"))
    embedded, epoch = (10**6 / rates[name] / 3600 for name in ("photos", "samples"))
    notes = (
        f"One caption an image, {DIMENSIONS} dimensions. Up to {EXACT:,} pairs are one work folder, and every caption "
        f"is compared with every other; more pairs are cells of {FOLDER:,} (below), each compared with {TARGETS:,}.",
        f"What one process does alone in a work folder of {EXACT:,} pairs: read the source, {minutes:.1f} minutes; "
        f"enter {parts:,.0f} parts, {parts / rates['parts']:.1f} s a stage on the disk here; read a manifest, "
        f"{parts * rates['load_us'] / 1e6:.2f} s.",
        "`parse` and the rest of `retrieve` were measured as whole commands, on five captions to an image: their own "
        "reading, looking and a small search are in these rows too, so the sum errs to the high side.",
        f"Images are those of the sample, {photo:,.0f} kB each, {small:,.0f} kB at {SIDE} pixels; larger ones take "
        "longer to decode and more room. Downloading them is left out.",
        f"Mining among images as well (`--score i2i`) is {embedded:,.0f} core hours for each 1,000,000 with `lite0`; "
        f"an epoch of 1,000,000 samples is {epoch:.2f} core hours beside the training.",
        "Assumed, not measured: that n cores do n times the work of one (parts share nothing; two cores were at hand), "
        "1 GB/s to and from the storage, the price, and that no machine is lost. No GPU was at hand; one makes the "
        "encoders and the search many times faster.",
    )
    for note in notes:
        yield from wrap(f"- {note}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _row(name: str, cells: Iterator[str] | map[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _bytes(number: float) -> str:
    for unit in ("MB", "GB", "TB", "PB"):
        number /= 1e6 if unit == "MB" else 1000
        if number < 1000:
            break
    return f"{number:.3g} {unit}"


if __name__ == "__main__":
    main()
