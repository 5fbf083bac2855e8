"""What a million, a hundred million and a thousand million pairs cost, by the rates that were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comparison import Comparison

DECODED = "stream, decoded and tokenised"
SEARCH, ENCODE = "search, products in {}", "encoder `{}`"
OPERATIONS, RATE, BYTES = "operations a query", "pairs by CPU second: ", "bytes a pair: "
"""Rows and facts of other comparisons, by name."""

PAIRS = (10**6, 10**8, 10**9)
DIMENSIONS = 384
EXACT = 10**7
"""More pairs than this are mined in cells."""
TARGETS = 8 * 10**6
"""Among so many: a cell of a million pairs and the seven nearest."""
DOLLARS = 0.04
"""A core hour."""
NEEDED = ("memory", "encode", "search", "streaming")

ASSUMPTIONS = (
    f"One caption an image, and one vector of {DIMENSIONS} dimensions in float32 of each that is mined with.",
    f"Up to {EXACT:,} pairs every caption is compared with every other; above that with {TARGETS:,} (a cell of a "
    "million and the seven nearest, as in [scaling](scaling.md); making the cells, one pass, is left out).",
    "Captions are what is mined with by default; images are embedded only where they are asked for (`--score i2i`).",
    "Of an epoch a second on the wall counts as a core second, though reading and decoding are two processes.",
    "Rates stay what they are here: memory of a stage does not grow with the pairs, and parts share nothing. Reading "
    "and writing remote storage is left out.",
    f"A core hour is {DOLLARS} $. No GPU anywhere; one makes the encoders and the search much faster, which was not "
    "measured.",
    "Images are written into shards with 64 pixels on the short side; larger ones have the bytes that they have.",
    "`retrieve` without encoder and search contains a small search (that of the sample): it errs to the high side.",
)


@dataclass(frozen=True)
class Rates:
    """What is measured.

    Attributes:
        by_pair: core seconds a pair of each stage but the search.
        operations: of the search's products, by core second.
        bytes: a pair, of each folder.
    """

    by_pair: Mapping[str, float]
    operations: float
    bytes: Mapping[str, float]

    @classmethod
    def of(cls, found: Mapping[str, Comparison]) -> Rates:
        """Of the comparisons `NEEDED`; medians."""

        def rate(name: str, what: str) -> float:
            return found[name].row(what).rate.middle

        facts = found["memory"].facts
        command = {name.removeprefix(RATE): value for name, value in facts.items() if name.startswith(RATE)}
        by_pair = {
            "`parse`": 1 / command["parse"],
            "captions embedded, `minilm`": 1 / rate("encode", ENCODE.format("minilm")),
            "images embedded, `lite0`": 1 / rate("encode", ENCODE.format("lite0")),
            "`retrieve` without encoder and search": 1 / command["retrieve"],
            "`shard`": 1 / command["shard"],
            "an epoch read, decoded, tokenised": 1 / rate("streaming", DECODED),
        }
        operations = rate("search", SEARCH.format("bfloat16")) * found["search"].facts[OPERATIONS]
        written = {name.removeprefix(BYTES): value for name, value in facts.items() if name.startswith(BYTES)}
        return cls(by_pair, operations, written)

    def search_hours(self, pairs: int) -> float:
        """Core hours of the products of one direction."""
        targets = pairs if pairs <= EXACT else TARGETS
        return 2.0 * pairs * targets * DIMENSIONS / self.operations / 3600


def tables(found: Mapping[str, Comparison]) -> tuple[list[list[str]], list[list[str]]]:
    """Core hours by stage and bytes by folder; a head, and a row each with a column for each of `PAIRS`."""
    rates = Rates.of(found)
    head = [f"{pairs:,} pairs" for pairs in PAIRS]
    hours = {name: [pairs * seconds / 3600 for pairs in PAIRS] for name, seconds in rates.by_pair.items()}
    hours["search, one direction"] = [rates.search_hours(pairs) for pairs in PAIRS]
    total = [sum(column) for column in zip(*hours.values(), strict=True)]
    time = [["core hours", *head], *([name, *map(_short, row)] for name, row in hours.items())]
    time += [
        ["**all**", *(f"**{_short(number)}**" for number in total)],
        ["days on 64 cores", *(_short(number / 64 / 24) for number in total)],
        [f"dollars at {DOLLARS} a core hour", *(_short(number * DOLLARS) for number in total)],
    ]
    written = [["bytes", *head], *([f"`{n}/`", *(_bytes(p * size) for p in PAIRS)] for n, size in rates.bytes.items())]
    return time, written


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _bytes(number: float) -> str:
    for unit in ("MB", "GB", "TB"):
        number /= 1000 if unit != "MB" else 1e6
        if number < 1000:
            break
    return f"{number:.3g} {unit}"
