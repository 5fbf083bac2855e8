"""``negmine``: its commands, joined. Nothing heavy is imported before one runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from negmine import __version__
from negmine.base import console
from negmine.base.command import with_options
from negmine.cli.audit import audit
from negmine.cli.export import export
from negmine.cli.import_ import import_
from negmine.cli.judge import judge
from negmine.cli.merge import merge
from negmine.cli.parse import parse
from negmine.cli.render import render
from negmine.cli.report import report
from negmine.cli.retrieve import retrieve
from negmine.cli.shard import shard
from negmine.cli.verify import verify
from negmine.cli.write import write

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Hard negatives for vision-language models, from captions to training shards.

    A run, start to end: `negmine parse captions.json --images photos/`, then `negmine retrieve`,
    `negmine shard --out data/`, and `ahnpl-train --shards data/*.tar`.
    """,
)

for _command in (parse, write, judge, retrieve, render, shard, audit, report, export):
    app.command()(with_options(_command))
app.command("import")(with_options(import_))
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}
app.command(context_settings=_PASSED_ON)(with_options(merge))
app.command()(with_options(verify))


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"negmine {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """No command is needed for it."""


def main() -> None:
    """Entry point of ``negmine``."""
    console.run(app)
