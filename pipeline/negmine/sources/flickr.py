"""Flickr8k and Flickr30k token files: ``1000092795.jpg#0<TAB>Two young guys with shaggy hair.``"""

from __future__ import annotations

import re
from collections.abc import Iterator

from negmine.contract.records import Rejected
from negmine.sources.row import Row, Unusable, excerpt, make_row
from negmine.store import input_files as files

_LINE = re.compile(r"([^\t]+)#\d+\t(.*)", re.DOTALL)


class Flickr:
    name = "flickr"
    endings = (".token",)
    holds_images = False

    def recognises(self, path: str, head: bytes) -> bool:
        """Most lines have the form; a line or two may be broken."""
        lines = files.head_lines(head)
        return 2 * sum(_match(line) is not None for line in lines) > len(lines)

    def read(self, path: str) -> Iterator[Row | Rejected]:
        for file in files.expand(path):
            with file.open() as stream:
                for number, line in files.numbered_lines(stream):
                    if line is None or line.strip():
                        yield _row(number, file.name, line)


def _row(number: int, source: str, line: bytes | None) -> Row | Rejected:
    if line is None:
        return Unusable("line_too_long", f"more than {files.MAX_LINE_BYTES:,} bytes").rejected(number, source)
    match = _match(line)
    if match is None:
        return Unusable("line_syntax", f"{excerpt(line)} is not image#number, tab, caption").rejected(number, source)
    return make_row(number, source, image=match[1], caption=match[2])


def _match(line: bytes) -> re.Match[str] | None:
    """Bytes that are no UTF-8 become surrogates here, which `make_row` refuses."""
    return _LINE.fullmatch(line.rstrip(b"\r\n").decode("utf-8", "surrogateescape"))
