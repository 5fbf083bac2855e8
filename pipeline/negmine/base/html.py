"""What our HTML pages share: one file each, nothing from the network, every text escaped, edits marked, small images.

Colours are named once, for light and dark; a page adds the styles that only it needs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL.Image import Image

Segment = tuple[str, str]
"""A stretch of a text: what was there, what is there now. Both are the same where nothing changed."""

_PIECE: Final = re.compile(r"\s+|\w+(?:[-'’]\w+)*|[^\w\s]")

_STYLE: Final = """
:root { color-scheme: light dark; --ink: light-dark(#1b1f24, #e7e9ec); --soft: light-dark(#5a6169, #a0a7af);
  --line: light-dark(#dfe3e8, #30353b); --paper: light-dark(#fff, #131517); --card: light-dark(#f6f7f9, #1b1e21);
  --old: light-dark(#a3211a, #ff9a91); --new: light-dark(#0c6332, #74d99a); --oldback: light-dark(#fde7e5, #45201d);
  --newback: light-dark(#d9f2e2, #16351f); --bar: light-dark(#3e63dd, #7d9bff); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { max-width: 46rem; } .soft { color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 500; color: var(--soft); } th:first-child, td:first-child { text-align: left; }
tr.all td { font-weight: 600; }
.wide tr > :first-child { position: sticky; left: 0; z-index: 1; background: var(--paper); }
@media (max-width: 44rem) { .wide tr > :first-child { max-width: 42vw; white-space: normal; } }
summary { cursor: pointer; } code { font-size: .85em; color: var(--soft); }
del { color: var(--old); background: var(--oldback); }
ins { color: var(--new); background: var(--newback); text-decoration: none; }
"""


def document(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole page. Only `script` itself can run in it, and nothing can be fetched.

    Args:
        title: plain text.
        body: HTML.
        style: CSS beside the common one.
        script: JavaScript that runs when the page is there.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"; script-src 'sha256-{digest}'" if script else ""
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'{allowed}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style></head>\n<body>{body}"
        + (f"<script>{script}</script>" if script else "")
        + "</body></html>\n"
    )


# --- edits -----------------------------------------------------------------------------------------------------------


def edited(caption: str, edits: Iterable[tuple[int, int, str, str]]) -> list[Segment]:
    """A caption and its recorded edits, each (start, end, old, new), as segments."""
    segments, position = list[Segment](), 0
    for start, end, old, new in sorted(edits):
        kept = caption[position:start]
        segments += [(kept, kept), (old, new)]
        position = end
    return [*segments, (caption[position:], caption[position:])]


def compared(caption: str, negative: str) -> list[Segment]:
    """Two texts of which no edits are known, word by word."""
    old, new = _PIECE.findall(caption), _PIECE.findall(negative)
    changes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [("".join(old[i:j]), "".join(new[k:m])) for _, i, j, k, m in changes]


def before_after(segments: Iterable[Segment]) -> tuple[str, str]:
    """Both texts as HTML, what was taken out in ``<del>`` and what was put in in ``<ins>``."""
    before, after = [], []
    for old, new in segments:
        before.append(_marked("del", old, old != new))
        after.append(_marked("ins", new, old != new))
    return "".join(before), "".join(after)


def inline(segments: Sequence[Segment], most: int) -> str:
    """One text as HTML, in which what was taken out stands before what was put in.

    Args:
        most: characters shown of a stretch without a change.
    """
    return "".join(
        escape(_elided(old, most)) if old == new else _marked("del", old, True) + _marked("ins", new, True)
        for old, new in segments
    )


def _marked(tag: str, text: str, changed: bool) -> str:
    return f"<{tag}>{escape(text)}</{tag}>" if changed and text else escape(text)


def _elided(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-(most // 2) :]}"


# --- images --------------------------------------------------------------------------------------------------------


def thumbnail(image: Image, side: int, quality: int) -> bytes:
    """A Pillow image as WebP of at most `side` pixels a side; the same bytes for the same image."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    out = io.BytesIO()
    small.save(out, "WEBP", quality=quality, method=4)
    return out.getvalue()


def data_url(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
