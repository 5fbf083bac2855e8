"""The page: what was read and measured goes into the template, thumbnails fill what is left of the page's size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from negmine import __version__
from negmine.base.html import document, inline
from negmine.contract.training_runs import TrainingRun
from negmine.outputs.report.images import LADDER, Album, make_album
from negmine.outputs.report.read import Example, ImagePlace, Shown
from negmine.outputs.report.training import runs_context
from negmine.outputs.report.work_context import WorkView, work_context
from negmine.stages.audit.page import TABLES_STYLE

BYTES_AN_EXAMPLE: Final = 25_000
"""Of the page: 5 MB for 200."""
BYTES_AT_LEAST: Final = 1_000_000
"""What a page may have however few its examples."""
LONGEST: Final = 600
"""Characters shown of a stretch of text without an edit."""
BESIDE: Final = 240
"""Characters shown of a neighbour's caption."""

_BLANK: Final = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
_URL: Final = "data:image/webp;base64,"
_KEYS: Final = (
    ("/", "search"),
    ("j, k", "next and previous pair"),
    ("1, 2, ...", "views"),
    ("t", "light, dark, as the system"),
    ("Esc", "show all pairs"),
    ("?", "this list"),
)


@dataclass(frozen=True)
class Page:
    """The HTML, and what became of the images in it."""

    text: str
    album: Album


def make_page(view: WorkView | None, runs: Sequence[TrainingRun], title: str) -> Page:
    """One HTML file of a work folder, of training runs, or of both."""
    context: dict[str, Any] = {  # what the template reads, by its names
        "title": title,
        "lead": "",
        "tiles": (),
        "notes": [],
        "work": None,
        "examples": (),
        "kinds": (),
        "rules": (),
        "refused": {},
        "charts": (),
        "audit": None,
        "stages": (),
        "runs": (),
        "keys": _KEYS,
        "blank": _BLANK,
        "beside": BESIDE,
        "version": __version__,
        **(work_context(view) if view else {}),
        **(runs_context(runs) if runs else {}),
    }
    context["views"] = [
        *([("examples", "Examples"), ("numbers", "Numbers"), ("audit", "Audit")] if view else ()),
        *([("training", "Training")] if runs else ()),
        ("run", "Run"),
    ]
    if not view:
        return Page(_render(context, Album()), Album())
    numbers = {image: number for number, image in enumerate(_images(view.examples))}
    empty = _render(context, Album(dict.fromkeys(numbers, _URL), dict.fromkeys(numbers, (LADDER[0][0],) * 2)))
    room = max(BYTES_AN_EXAMPLE * len(view.examples), BYTES_AT_LEAST) - len(empty.encode())
    album = make_album(numbers, view.roots, room)
    context["notes"] += _missing(album)
    return Page(_render(context, album), album)


def _render(context: Mapping[str, object], album: Album) -> str:
    numbers = {image: number for number, image in enumerate(album.urls)}
    images = [url.removeprefix(_URL) for url in album.urls.values()]
    body = (
        _environment().get_template("report.html.j2").render(context, album=numbers, sizes=album.sizes, images=images)
    )
    title, folder = str(context["title"]), files("negmine.outputs.report") / "templates"
    style, script = ((folder / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return document(title, body, style=TABLES_STYLE + style, script=script)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("negmine.outputs.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": "{:,}".format, "score": "{:.2f}".format, "elided": elided, "marked": _marked}
    return made


def elided(text: str, most: int = LONGEST) -> Markup:
    """A text as HTML, its middle left out if it is long."""
    return Markup(inline([(text, text)], most))


def _marked(negative: Shown, example: Example) -> Markup:
    return Markup(inline(negative.segments(example.caption), LONGEST))


def _images(examples: Iterable[Example]) -> Iterator[ImagePlace]:
    for example in examples:
        shown = [
            example.image,
            *(one.image for one in example.negatives),
            *(one.image for one in example.candidates),
        ]
        yield from (image for image in shown if image is not None)


def _missing(album: Album) -> list[str]:
    return [f"{number:,} images could not be shown: {reason}." for reason, number in album.missing.items()]
