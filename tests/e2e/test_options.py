"""Options are declared once: the help says them, the docs name them all, what is out of bounds is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from ahnpl.cli import eval_app, export_app, train_app
from negmine.base.command import Given, with_options
from negmine.base.errors import UsageError
from negmine.base.options import Option, check, declared
from negmine.cli.app import app
from negmine.cli.engine_options import EngineOptions
from negmine.cli.run_options import TrialOptions
from negmine.stages.pairs.settings import IngestSettings
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
PAGES = {
    "negmine parse": "parse",
    "negmine import": "sources",
    "negmine write": "sources",
    "negmine judge": "sources",
    "negmine retrieve": "retrieve",
    "negmine render": "render",
    "negmine shard": "shard",
    "negmine audit": "audit",
    "negmine report": "report",
    "negmine export": "export",
    "negmine merge": "scaling",
    "negmine verify": "work-folder",
    "ahnpl-train": "train",
    "ahnpl-eval": "evaluate",
    "ahnpl-export": "evaluate",
}
"""Where a command is documented."""
SHARED = {"formats": IngestSettings, "work-folder": TrialOptions, "scaling": EngineOptions}
"""Where options are that commands share; a command that has them says so with a link."""
OTHERS = {
    "benchmarks": "captions data report goal others seeds only turns groups times",
    "pytest": "full",
    "torchrun": "nnodes nproc-per-node no-python rdzv-backend rdzv-endpoint rdzv-conf rdzv-id local-addr "
    "shutdown-timeout",
    "ray": "head disable-usage-stats include-dashboard",
    "srun": "ntasks signal",
    "hf": "local-dir",
    "open_clip": "accum-freq csv-caption-key csv-img-key csv-separator",
}
"""Options of other programs that the docs name."""


def commands() -> Mapping[str, Any]:
    group: Any = typer.main.get_command(app)
    found = {f"negmine {name}": one for name, one in group.commands.items()}
    trainer = {"ahnpl-train": train_app, "ahnpl-eval": eval_app, "ahnpl-export": export_app}
    return found | {name: typer.main.get_command(one) for name, one in trainer.items()}


COMMANDS = commands()
DOCS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]


def shown(command: Any) -> set[str]:
    """The options that ``--help`` shows."""
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    return {name for one in options for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}


def named(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z0-9]", text))


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def spelt(settings: type) -> set[str]:
    options = {name: one.option for name, one in declared(settings).items()}
    return {option.spelt(name) for name, option in options.items() if option} | {"--no-header", "--seed"}


def test_every_command_has_a_page() -> None:
    assert PAGES.keys() == COMMANDS.keys()


@pytest.mark.parametrize("command", PAGES)
def test_every_option_is_documented(command: str) -> None:
    text = page(PAGES[command])
    missing = shown(COMMANDS[command]) - named(text) - {"--help"}
    for name, settings in SHARED.items():
        if missing & spelt(settings) and f"({name}.md" in text:
            missing -= spelt(settings) & named(page(name))
    assert missing == set()


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_no_page_names_an_option_that_there_is_not(path: Path) -> None:
    known = {f"--{name}" for names in OTHERS.values() for name in names.split()} | {"--version", "--help"}
    known |= {name for one in COMMANDS.values() for name in shown(one)}
    assert named(path.read_text(encoding="utf-8")) <= known


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_commands_in_the_docs_have_the_options_that_they_are_given(path: Path) -> None:
    wrong = []
    for line in path.read_text(encoding="utf-8").splitlines():
        for call in re.findall(r"(?:negmine [a-z]+|ahnpl-[a-z]+) [^`#|&;\"]*", line):
            words = call.split()
            name = words[0] if words[0].startswith("ahnpl") else " ".join(words[:2])
            name = " ".join((words[0], words[2])) if name == "negmine merge" and len(words) > 2 else name
            if name in COMMANDS:
                wrong += [(name, one) for one in named(call) - shown(COMMANDS[name]) - {"--help"}]
    assert wrong == []


# --- how they are derived --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Inner:
    depth: Annotated[int, Option("metres", least=1, most=5)] = 2

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = Inner()
    width_: Annotated[float | None, Option("metres", name="breadth", least=0)] = None
    words: Annotated[tuple[str, ...], Option("several")] = ()
    dry: Annotated[bool, Option("no water")] = True
    colour: Annotated[str, Option("of it", one_of=("red", "green"), unset="the sky's")] = "red"
    silent: int = 7

    def __post_init__(self) -> None:
        check(self)


def called(command: Any, *words: str) -> Any:
    probe = typer.Typer()
    probe.command()(with_options(command))
    return CliRunner().invoke(probe, list(words))


def test_settings_are_made_of_what_was_typed() -> None:
    got: list[Any] = []

    def command(settings: Outer, times: Annotated[int, Option("how often", least=1)] = 1) -> None:
        """Dig."""
        got.extend((settings, times))

    def typed(*words: str) -> list[Any]:
        got.clear()
        outcome = called(command, *words)
        assert outcome.exception is None, outcome.output
        return list(got)

    assert typed() == [Outer(), 1]
    assert typed("--depth", "3", "--breadth", "1.5", "--times", "2") == [Outer(inner=Inner(depth=3), width_=1.5), 2]
    assert typed("--words", "a", "--words", "b") == [Outer(words=("a", "b")), 1]
    assert typed("--no-dry", "--colour", "green") == [Outer(dry=False, colour="green"), 1]
    told = called(command, "--help").output
    assert "the sky's" in told and "1..5" in told and "--silent" not in told
    for words, said in (
        ("--depth 6", "--depth is 6"),
        ("--times 0", "--times is 0"),
        ("--breadth nan", "--breadth is"),
        ("--breadth inf", "--breadth is"),
    ):
        assert said in str(called(command, *words.split()).exception)


def test_what_was_given_leaves_out_what_nobody_named() -> None:
    got: dict[str, Any] = {}

    def command(given: Annotated[dict[str, Any], Given(Outer)]) -> None:
        got.update(given)

    called(command)
    assert got == {"inner": Inner(), "width_": None, "words": (), "dry": True}
    called(command, "--colour", "green")
    assert replace(Outer(silent=8), **got) == Outer(silent=8, colour="green")


def test_an_unknown_word_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as refused:
        Outer(colour="gren")
    assert (refused.value.what, refused.value.why) == ("unknown --colour 'gren'", "the nearest: green, red")
