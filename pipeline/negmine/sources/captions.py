"""The captions that lie beside an image, in tars and in folders alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from negmine.sources.captions_in_value import captions_in
from negmine.sources.jsonl import parse_object
from negmine.sources.noted import Note
from negmine.sources.row import CAPTION_COLUMNS, TALKS, Unusable
from negmine.store.input_files import BOM

PLAIN_EXTENSIONS: Final = ("txt", "caption", "text")
TEXT_EXTENSIONS: Final = (*PLAIN_EXTENSIONS, "json")
"""Of texts, first choice first."""

MAX_TEXT_BYTES: Final = 16 * 1024 * 1024

_BLANK_LINE: Final = re.compile(r"\n[ \t\r]*\n")
_SEVERAL_SENTENCES: Final = re.compile(r"\w[.!?][\"'”’)]*[ \t]+\S")
"""On one line."""


@dataclass(frozen=True, slots=True)
class Captions:
    """What the texts of one image say.

    Attributes:
        texts: of any type where they come from JSON; with the number of their line where they have one.
        image_id: of any type; None if none is given.
        notes: what was decided on the way.
    """

    texts: tuple[tuple[int | None, object], ...]
    image_id: object
    notes: tuple[Note, ...]


def captions_of(texts: Mapping[str, bytes]) -> Captions:
    """The captions in the texts (by extension) of one image: those of the first text that is not blank.

    A ``.json`` that cannot be read costs only itself where another text has a caption.

    Raises:
        Unusable: ``no_caption``, or why the JSON cannot be read.
    """
    body, notes = dict[str, object](), list[Note]()
    plain = [text for name in PLAIN_EXTENSIONS if (text := texts.get(name, b"").removeprefix(BOM)).strip()]
    if len(plain) > 1:
        notes.append("further_text")
    try:
        body = _by_name(parse_object(texts["json"])) if "json" in texts else {}
    except Unusable:
        if not plain:
            raise
        notes.append("broken_json")
    lines = [*_lines(plain[0])] if plain else []
    found: list[tuple[int | None, object]] = [(number, said) for number, line in lines for said in captions_in(line)]
    if not plain:
        found = [(None, said) for said in _of_json(body)]
    elif len(found) > 1:
        whole = _decoded(plain[0])
        one = len(lines) > 1 and _is_one(whole, body)
        notes.append("one_caption_of_several_lines" if one else "several_captions_of_one_text")
        found = [(found[0][0], whole)] if one else found
    if not found:
        raise Unusable("no_caption", f"none in its {', '.join(texts)}" if texts else "no text is beside the image")
    return Captions(tuple(found), body.get("image_id"), tuple(notes))


def _decoded(text: bytes) -> str:
    """Bytes that are no UTF-8 become surrogates here, which `make_row` refuses."""
    return text.decode("utf-8", "surrogateescape").strip()


def _lines(text: bytes) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    return ((n, line) for n, line in enumerate(map(_decoded, text.splitlines()), 1) if line)


def _is_one(text: str, body: Mapping[str, object]) -> bool:
    """Whether a text of several lines is one caption with line breaks; else each of its lines is a caption.

    It is one where the JSON beside it has the same text in one piece (so writes img2dataset, whatever the alt-text
    holds), and where blank lines part paragraphs, one of them of several sentences.
    """
    if any(isinstance(value, str) and value.split() == text.split() for value in body.values()):
        return True
    return bool(_BLANK_LINE.search(text) and _SEVERAL_SENTENCES.search(text))


def _by_name(body: Mapping[str, object]) -> dict[str, object]:
    """Values by name without case; of two such names the first is taken."""
    return {name.casefold(): value for name, value in reversed(list(body.items()))}


def _of_json(body: Mapping[str, object]) -> list[object]:
    """What the first known name holds."""
    value = next((body[name] for name in (*CAPTION_COLUMNS, *TALKS) if name in body), None)
    return [] if value is None else captions_in(value)
