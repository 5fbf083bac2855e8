"""Presets by name and from a file; what is wrong in one is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from negmine.base.errors import UsageError
from negmine.base.options import declared
from negmine.stages.negatives.presets import load_preset, names
from negmine.stages.negatives.rules import LABELLED, RULES
from negmine.stages.negatives.settings import ParseSettings


def test_no_preset_uses_rules_that_the_text_gives_away() -> None:
    assert len(names()) == 7
    for name in names():
        labelled = set(load_preset(name).rules).intersection(LABELLED)
        assert labelled == ({"negate"} if name == "skills" else set())  # its denials are answered by true ones


def test_swaps_are_swaps_and_sugarcrepe_has_its_seven_kinds() -> None:
    assert all(rule.startswith("swap_") for rule in load_preset("swaps").rules)
    assert len(load_preset("sugarcrepe").rules) == 7


def test_skills_thins_nothing_and_has_the_rules_of_the_default_and_denials() -> None:
    assert load_preset("skills").thinning == 0
    assert set(load_preset("skills").rules) == {*load_preset("unguessable").rules, "negate"}
    assert 0 < load_preset("unguessable").thinning <= 1


def test_a_file_is_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('rules = ["replace_count"]\nper_caption = 2\nbalanced = true\n[weights]\nreplace_count = 0.5\n')
    assert load_preset(str(path)).weights == (("replace_count", 0.5),)


@pytest.mark.parametrize(
    ("text", "rules"),
    [("swap_object, negate", ("swap_object", "negate")), ("all", tuple(RULES)), ("none", ())],
)
def test_rules_by_comma(text: str, rules: tuple[str, ...]) -> None:
    option = declared(ParseSettings)["rules"].option
    assert option is not None and option.parser is not None and option.parser(text) == rules


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('rules = ["replace_all"]\nper_caption = 1\nbalanced = true', "replace_all"),
        ('rules = ["negate"]\nper_caption = 0\nbalanced = true', "--per-caption is 0"),
        ('rules = ["negate"]\nper_caption = 1\nbalanced = true\nspeed = 3', "speed"),
        ('rules = ["negate"]\nper_caption = 1\nbalanced = true\nthinning = 1.5', "--thinning is 1.5"),
        ("rules = [", "TOML"),
    ],
)
def test_a_wrong_file_is_a_usage_error(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=named):
        load_preset(str(path))


def test_nothing_to_choose_from_is_a_usage_error() -> None:
    nothing = load_preset("imported")
    with pytest.raises(UsageError, match="no rule is chosen and no texts"):
        nothing.chosen()
    assert replace(nothing, texts=("some",)).chosen()["texts"] == ("some",)


def test_settings_say_nothing_of_texts_where_there_are_none() -> None:
    """What earlier runs left goes on."""
    assert {"texts", "guards", "complete"}.isdisjoint(load_preset("unguessable").chosen())


def test_an_unknown_preset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unguessable"):
        load_preset("unguessible")
