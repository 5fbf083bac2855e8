"""What a command shows: messages and progress on stderr, results on stdout, one way for all commands."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from negmine.base.addresses import readable
from negmine.base.errors import Exit, NegmineError, ResourceError, explain_os_error, is_out_of_memory
from negmine.base.storage_errors import explain, is_storage_error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

messages = Console(stderr=True, highlight=False, soft_wrap=True)
results = Console(highlight=False, soft_wrap=True)

STOPS: Final = (signal.SIGTERM, signal.SIGHUP)
"""What asks a command to stop as Ctrl-C does: a scheduler, and a terminal that goes away."""

PLAIN_INTERVAL = 10.0
"""Seconds between progress lines where stderr is not a terminal."""


@dataclass(frozen=True)
class Summary:
    """What a command did, for a person and (``--json``) for a program.

    Attributes:
        command: as typed, e.g. ``negmine parse``.
        headline: one sentence.
        figures: name to number, text, or a table of these (one level of nesting).
        outputs: name to path.
        next_steps: commands worth typing now.
        examples: name to a line of text worth reading.
    """

    command: str
    headline: str
    figures: Mapping[str, object] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    next_steps: tuple[str, ...] = ()
    examples: Mapping[str, str] = field(default_factory=dict)


def show(summary: Summary, as_json: bool) -> None:
    """Print a summary to stdout: one JSON document, or a headline and a table."""
    if as_json:
        sys.stdout.write(json.dumps(_told(asdict(summary)), ensure_ascii=False) + "\n")
        return
    results.print(f"[bold]{_text(summary.command)}[/bold]  {_text(summary.headline)}")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="left", style="dim")
    table.add_column(justify="right")
    for name, value in summary.figures.items():
        if isinstance(value, Mapping):
            if value:
                table.add_row(_text(name), "")
            for inner, number in value.items():
                table.add_row("  " + _text(str(inner)), _cell(number))
        else:
            table.add_row(_text(name), _cell(value))
    if table.row_count:
        results.print(table)
    for name, text in summary.examples.items():
        results.print(f"[dim]{_text(name)}[/dim]  {_text(text)}")
    for name, path in summary.outputs.items():
        show_output(name, path)
    for step in summary.next_steps:
        results.print(f"[dim]next[/dim] {_text(step)}")


def show_output(name: str, path: str) -> None:
    """A line that says where something was written."""
    results.print(f"[dim]{_text(name)}[/dim] {_text(path)}")


def _text(text: str) -> str:
    return escape(readable(text))


def _told(value: object) -> object:
    """A JSON value with every text in it `readable`."""
    if isinstance(value, Mapping):
        return {_told(name): _told(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    return readable(value) if isinstance(value, str) else value


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return _text(str(value))


def note(text: str) -> None:
    """A line for the person at the terminal."""
    messages.print(_text(text))


def run(app: Callable[[], object]) -> NoReturn:
    """Run a typer app; errors a user can act on become a message and their exit status, never a traceback."""
    sys.stdout, sys.stderr = _unread(sys.stdout), _unread(sys.stderr)
    for number in STOPS:
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup has a command ignore SIGHUP
            signal.signal(number, signal.default_int_handler)
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except NegmineError as error:
        _report(error)
    except OSError as error:
        _report(explain_os_error(error, str(error.filename or "")))
    except KeyboardInterrupt:
        _stopped()
    except Exception as error:  # torch and an object store's driver have errors of their own; all others are bugs
        if is_out_of_memory(error):
            _report(_explain_memory(error))
        if not is_storage_error(error):
            raise
        _report(explain(error, ""))
    except SystemExit as end:
        if end.code == Exit.INTERRUPTED:  # typer has turned a KeyboardInterrupt into this, without a word
            _stopped()
        if isinstance(end.__context__, BrokenPipeError):  # of a process or a server; typer says nothing here too
            _report(explain_os_error(end.__context__, ""))
        raise
    sys.exit(Exit.DONE)


class _Unread(io.FileIO):
    """Where a command writes. When the reader of a pipe goes away, the command finishes its work all the same.

    Attributes:
        is_heard: whether it is an error that nothing more can be written; it is one but once.
    """

    is_heard = True

    def write(self, content: ReadableBuffer) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            return memoryview(content).nbytes
        except OSError:
            if not self.is_heard:
                return memoryview(content).nbytes
            self.is_heard = False
            raise


def _unread(stream: TextIO) -> TextIO:
    """The stream, deaf to a reader that goes away; one that somebody put in place of the process's own stays."""
    if stream is None or stream not in (sys.__stdout__, sys.__stderr__):
        return stream
    raw = _Unread(stream.fileno(), "wb", closefd=False)
    if stream is sys.__stderr__:  # without a buffer, which a signal's handler could not enter while it is written
        raw.is_heard = False
        return io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=stream.isatty())


def _explain_memory(error: Exception) -> NegmineError:
    why = " ".join(str(error).split())[:200]
    return ResourceError("out of memory", why=why or None, fix="use fewer --workers or a smaller --batch-size")


def _stopped() -> NoReturn:
    messages.print("[bold red]stopped[/bold red]; what was finished is saved, the same command resumes")
    sys.exit(Exit.INTERRUPTED)


def _report(error: NegmineError) -> NoReturn:
    messages.print(f"[bold red]error[/bold red] {_text(str(error))}")
    sys.exit(error.status)


# --- progress --------------------------------------------------------------------------------------------------------


class Progress(Protocol):
    """Counts finished units of work, and tells what else there is to tell of them."""

    def advance(self, units: int, beside: str = "") -> None: ...


@contextmanager
def progress(title: str, total: int | None, unit: str, done: int = 0) -> Iterator[Progress]:
    """A live bar with rate and time left on a terminal, a plain line every few seconds elsewhere.

    Args:
        total: units in all; None if it cannot be known.
        done: units that an earlier run finished; they do not count for the rate.
    """
    if messages.is_terminal:
        with _bar(title, total, unit, done) as bar:
            yield bar
    else:
        yield _Lines(title, total, unit, done)


@contextmanager
def _bar(title: str, total: int | None, unit: str, done: int) -> Iterator[Progress]:
    from rich import progress as rp

    class Rate(rp.ProgressColumn):
        def render(self, task: rp.Task) -> str:
            return f"{task.speed:,.0f} {unit}/s" if task.speed else ""

    columns = (
        rp.TextColumn("{task.description}", markup=False),
        rp.BarColumn(),
        rp.MofNCompleteColumn(),
        Rate(),
        rp.TimeRemainingColumn(),
        rp.TextColumn("{task.fields[beside]}", markup=False),
    )
    with rp.Progress(*columns, console=messages, transient=True) as live:
        task = live.add_task(readable(title), total=total, completed=done, beside="")

        class Bar:
            def advance(self, units: int, beside: str = "") -> None:
                live.update(task, advance=units, beside=readable(beside))

        yield Bar()


class _Lines:
    def __init__(self, title: str, total: int | None, unit: str, done: int) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.started_at = self.printed_at = time.monotonic()
        self.before, self.done = done, done

    def advance(self, units: int, beside: str = "") -> None:
        self.done += units
        now = time.monotonic()
        if now - self.printed_at < PLAIN_INTERVAL:
            return
        self.printed_at = now
        rate = (self.done - self.before) / (now - self.started_at)
        of_total = f" of {self.total:,}" if self.total is not None else ""
        left = f", {(self.total - self.done) / rate:,.0f} s left" if self.total and rate else ""
        note(f"{self.title}: {self.done:,}{of_total} {self.unit}, {rate:,.0f}/s{left}{beside and ', '}{beside}")
