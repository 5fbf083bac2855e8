"""Prompts and options: what is asked is what the files say, and what is typed wrongly is one message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from negmine.base.errors import UsageError
from negmine.contract.records import KINDS
from negmine.llm.prompts import DEFAULT, load_prompt, names, read_texts
from negmine.llm.questions import Questions
from negmine.llm.settings import Budget, EndpointSettings, Sampling, endpoint_url
from negmine.stages.writing.settings import WriteSettings
from negmine.stages.writing.tasks import writings

HERE = EndpointSettings(url="http://127.0.0.1:1/v1", model="m")


@pytest.mark.parametrize("name", names())
def test_a_prompt_shows_by_example_what_it_asks_for(name: str) -> None:
    prompt = load_prompt(name, 2)
    assert prompt.kind in KINDS and "{" not in prompt.system.replace('{"texts": ["..."]}', "")
    turns = prompt.messages("a dog")
    assert turns[-1] == {"role": "user", "content": "a dog"}
    for (caption, texts), turn in zip(prompt.examples, turns[2::2], strict=True):
        assert read_texts(turn["content"]) == texts and caption not in texts
    words = {word for _, texts in prompt.examples for text in texts for word in text.split()}
    assert bool(words & {"not", "without"}) == (name == "negate")


def test_the_default_prompts_are_false_ones_and_all_have_frames() -> None:
    assert set(DEFAULT) < set(names()) and not any(load_prompt(name, 1).is_true for name in DEFAULT)
    assert sum(load_prompt(name, 1).is_true for name in names()) == 2


def test_fewer_texts_are_shown_where_fewer_are_asked_for() -> None:
    assert max(len(texts) for _, texts in load_prompt("replace_object", 1).examples) == 1


def test_a_prompt_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "weather.toml"
    path.write_text('frame = "false"\nkind = "replace_attribute"\ntask = "Change the weather."\n')
    prompt = load_prompt(str(path), 3)
    assert (prompt.name, prompt.kind, prompt.is_true, prompt.examples) == ("weather", "replace_attribute", False, ())
    assert "Change the weather." in prompt.system and "at most 3" in prompt.system


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('kind = "rewrite"\ntask = "x"', "frame is no text"),
        ('frame = "maybe"\nkind = "rewrite"\ntask = "x"', "unknown frame"),
        ('frame = "true"\nkind = "swop"\ntask = "x"', "unknown kind"),
        ('frame = "true"\nkind = "rewrite"\ntask = "x"\nexampels = []', "unknown field of a prompt"),
        ('frame = "true"\nkind = "rewrite"\ntask = "x"\nexamples = [{caption = "c"}]', "a caption and texts"),
        ("frame = ", "this is no TOML"),
    ],
)
def test_a_prompt_that_is_none_is_one_message(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        load_prompt(str(path), 2)


@pytest.mark.parametrize(
    "url", ["http://user:secret@h/v1", "https://h/v1?key=secret", "ftp://h/v1", "h:8000/v1", "s3://bucket/v1", ""]
)
def test_an_address_that_is_no_endpoint_is_refused_and_no_secret_shown(url: str) -> None:
    with pytest.raises(UsageError) as found:
        endpoint_url(url)
    assert "secret" not in str(found.value)


def test_an_address_has_one_spelling() -> None:
    assert endpoint_url("https://h:8000/v1/") == "https://h:8000/v1"


def test_a_question_is_named_by_all_that_an_answer_depends_on() -> None:
    def name(caption: str = "a dog", **more: object) -> str:
        how = {"name": "n", "prompts": ("negate",), "endpoint": HERE} | more
        return writings(WriteSettings(**how))[0].questions.about(caption).name  # type: ignore[arg-type]

    def endpoint(**more: object) -> EndpointSettings:
        return EndpointSettings(**{"url": HERE.url, "model": "m", **more})  # type: ignore[arg-type]

    elsewhere = endpoint(url="https://h/v1", at_once=3, budget=Budget(most_tokens=9))
    same = [name(), name(name="other"), name(endpoint=elsewhere)]
    others = [
        name("a cat"),
        name(prompts=("paraphrase",)),
        name(texts=3),
        name(endpoint=endpoint(model="n")),
        name(endpoint=endpoint(parameters=json.dumps({"top_p": 0.5}))),
        name(sampling=Sampling(temperature=0.1)),
        name(sampling=Sampling(most_answer_tokens=9)),
        name(sampling=Sampling(seed=1)),
    ]
    assert len(set(same)) == 1 and len({*same, *others}) == 1 + len(others)


def test_a_question_about_a_text_is_another() -> None:
    questions = Questions(writings(WriteSettings(name="n", prompts=("negate",), endpoint=HERE))[0].questions.task)
    assert len({questions.about(*said).name for said in [("a b", None), ("a", "b"), ("a b", ""), ("", "a b")]}) == 4


def test_prices_are_of_a_million_tokens() -> None:
    budget = Budget(most_cost=1.0, price_in=0.5, price_out=2.0)
    assert budget.cost(1_000_000, 250_000) == 1.0 and budget.allows(1_000_000, 250_000)
    assert not budget.allows(1_000_000, 250_001)
    with pytest.raises(UsageError, match="needs prices"):
        Budget(most_cost=1.0)
