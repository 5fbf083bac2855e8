"""Why rows were refused, in words: the commonest reason, an example, its cause and the option that helps."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final

from negmine.base.counts import Counts
from negmine.base.errors import InputError
from negmine.contract.records import MEMBER_MARK

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_IMAGE_COLUMN = re.compile(r".*image <- ([^{},]+?)(?:,|$)")
_COLUMNS: Final = "noted:columns"

_HELP: Final = {
    "no_image": "name the column of the images with --image-column, or make their paths of columns, as in "
    "--image-column '{image_id}.jpg'; or leave out --images to work on the words alone",
    "no_caption": "name the column of the captions with --caption-column",
    "empty_caption": "name the column of the captions with --caption-column",
    "caption_not_text": "name the column of the captions with --caption-column",
    "image_not_text": "name the column of the images with --image-column",
    "column_count": "put captions that hold the delimiter into quotes, or name the right one with --delimiter",
    "csv_syntax": "double the quotes inside of quoted captions, or name the --delimiter (with tab or | quotes are "
    "characters)",
    "bad_key": "name another column of keys with --key-column",
    "key_characters": "name another column of keys with --key-column",
    "duplicate_key": "name another column of keys with --key-column",
}
"""Reason to the option of columns that is worth trying, in formats that have columns."""

_REMEDY: Final = {
    "not_utf8": "save the input as UTF-8",
    "json_syntax": "write one object a line, without commas between them: jq -c . FILE > NEW",
    "image_format": "convert these images to JPEG, PNG or WebP",
}
"""Reason to what helps with any format; of others the example says enough."""


def reasons(counts: Counts) -> dict[str, int]:
    """Reason to number of rows, the commonest first, out of a stage's counts: those under ``rejected:``."""
    return counts.under("rejected")


def named(counts: Counts) -> str:
    """The `reasons` with their numbers, the commonest first."""
    return ", ".join(f"{reason} {n:,}" for reason, n in reasons(counts).items())


def explain(counts: Counts, rejected: Path) -> tuple[str, str | None]:
    """Why many rows were refused, and what helps.

    Args:
        counts: of a stage, ``rejected:REASON`` among them.
        rejected: the table of refused rows.
    """
    found = reasons(counts)
    reason = next(iter(found))
    place, detail = _example(rejected, reason)
    cause, help_ = _cause(reason, detail, counts)
    said = [named(counts), f"for example {place}: {detail}" if place else "", cause]
    return "; ".join(part for part in said if part), help_


def check_share(counts: Counts, max_bad: float, rejected: Path) -> None:
    """Stop if more than `max_bad` of the rows were rejected.

    Raises:
        InputError: with the reasons and their numbers, an example of the commonest, and what helps.
    """
    bad, rows = sum(reasons(counts).values()), counts["rows"]
    if rows == 0:
        raise InputError("the input has no rows", fix="check the file, or name its --format")
    if bad > max_bad * rows or bad == rows:
        why, help_ = explain(counts, rejected)
        limit = "and none is left" if bad == rows else f"more than --max-bad {max_bad:g} allows"
        raise InputError(
            f"{bad:,} of {rows:,} rows were rejected, {limit}",
            where=str(rejected),
            why=why,
            fix=(f"{help_}; else " if help_ else "")
            + "mend the input (that table lists every row); add --overwrite"
            + ("" if bad == rows else ", or raise --max-bad"),
        )


def _example(rejected: Path, reason: str) -> tuple[str, str]:
    """Place and detail of the first row that was refused for `reason`; empty if the table is not there."""
    import pyarrow.parquet as pq

    from negmine.store.folder import folder_at

    path = folder_at(rejected.parent).file(rejected.name)
    if not path.is_file():
        return "", ""
    for batch in pq.ParquetFile(path).iter_batches(columns=["row", "source", "reason", "detail"]):
        for row in batch.to_pylist():
            if row["reason"] == reason:
                number = "" if row["row"] is None else f"row {row['row']:,} of "
                return f"{number}{row['source']}", row["detail"] or reason
    return "", ""


def _cause(reason: str, detail: str, counts: Counts) -> tuple[str, str | None]:
    columns = list(counts.under(_COLUMNS))
    if reason != "missing_image":
        chosen = f"read as: {'; '.join(columns)}" if columns and reason in _HELP else ""
        return chosen, _REMEDY.get(reason) or (_HELP.get(reason) if columns else None)
    name = detail.rpartition(": ")[0] or detail
    if _URL.match(name):
        return "these are URLs, and images are not downloaded here", (
            "download them first (img2dataset makes tars that are read as they are), or name the files by columns, as "
            "in --image-column '{key}.jpg'; or leave out --images to work on the words alone"
        )
    if "\\" in name:
        return "these are paths of Windows", "write them with / in place of \\"
    if columns and MEMBER_MARK not in name and not PurePosixPath(name).suffix:
        found = next(filter(None, map(_IMAGE_COLUMN.fullmatch, columns)), None)
        column = found[1] if found else "image"
        return "these names have no ending", f"add it: --image-column '{{{column}}}.jpg'"
    return "images are looked for below --images", "name the folder that these paths begin in with --images"
