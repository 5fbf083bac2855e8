"""``ahnpl-train``, ``ahnpl-eval`` and ``ahnpl-export``: options in, a summary out.

torch is imported only when there is work.
"""

from __future__ import annotations

from typing import NoReturn

import typer
from negmine.base import console
from negmine.base.command import with_options

from ahnpl.cli.command_line import GreedyCommand
from ahnpl.cli.evaluate import evaluate
from ahnpl.cli.export import export
from ahnpl.cli.train import train

train_app, eval_app, export_app = (typer.Typer(add_completion=False, pretty_exceptions_enable=False) for _ in range(3))
train_app.command(cls=GreedyCommand)(with_options(train))
eval_app.command(cls=GreedyCommand)(with_options(evaluate))
export_app.command()(with_options(export))


def train_main() -> NoReturn:
    """Console script ``ahnpl-train``."""
    console.run(train_app)


def eval_main() -> NoReturn:
    """Console script ``ahnpl-eval``."""
    console.run(eval_app)


def export_main() -> NoReturn:
    """Console script ``ahnpl-export``."""
    console.run(export_app)
