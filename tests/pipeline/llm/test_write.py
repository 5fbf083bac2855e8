"""Texts by a language model: whatever the server does, nothing is asked twice, nothing is lost, and bytes are equal."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from negmine.base.errors import DamagedError, InputError, NegmineError, ResourceError, UsageError
from negmine.engine.local import LocalEngine
from negmine.llm.answers import Answer, Answers, Failure
from negmine.llm.settings import Budget, EndpointSettings, Sampling
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.stages.writing.settings import WriteSettings
from negmine.stages.writing.stage import Written, write
from negmine.stages.writing.tasks import writings
from negmine.store import load_manifest, read_part, write_table

from tests.pipeline.llm.scripted import MODEL, Say, Scripted, caption_of, chat, obliging, served, texts
from tests.pipeline.llm.scripted import Answer as Play

KEY = "sk-planted-0123456789abcdef"
CAPTIONS = [f"a dog of number {n} on a couch" for n in range(11)]


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def pairs(folder: Path, captions: list[str] = CAPTIONS, part_size: int = 5) -> Path:
    """A work folder with pairs in several parts, the first caption of which stands twice."""
    source = folder / "captions.jsonl"
    rows = [{"image": f"{n}.jpg", "caption": caption} for n, caption in enumerate([*captions, captions[0]])]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    work = folder / "work"
    ingest(IngestSettings(str(source), part_size=part_size), work, LocalEngine(1))
    return work


def settings(server: Scripted | str, sampling: Sampling | None = None, **endpoint: Any) -> WriteSettings:
    url = server if isinstance(server, str) else server.url
    quick = {"wait": 0.001, "attempts": 4, "answer_timeout": 20.0, "at_once": 4} | endpoint
    return WriteSettings(
        name="theirs",
        prompts=("replace_object",),
        sampling=sampling or Sampling(),
        endpoint=EndpointSettings(url=url, model=MODEL, **quick),
    )


def run(work: Path, how: WriteSettings, **more: Any) -> Written:
    return write(how, work, LocalEngine(1), **more)


def contents(work: Path) -> dict[str, bytes]:
    """The bytes of what is kept of answers and texts, by name."""
    folders = ("answers/theirs", "texts/theirs")
    files = (path for folder in folders for path in sorted((work / folder).iterdir()) if path.name != ".lock")
    return {str(path.relative_to(work)): path.read_bytes() for path in files}


def rejected(work: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(work / "answers/theirs/rejected.parquet").to_pylist())


def calm(folder: Path) -> dict[str, bytes]:
    """What a server without a fault gives."""
    folder.mkdir()
    with served() as server:
        run(work := pairs(folder), settings(server, at_once=1))
    return contents(work)


# --- what is written -------------------------------------------------------------------------------------------------


def test_texts_stand_beside_their_captions_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    work = pairs(tmp_path)
    with served() as server:
        first = run(work, settings(server))
        assert sorted(server.asked_about()) == sorted(CAPTIONS)
        before = contents(work)
        second = run(work, settings(server))
        assert len(server.asked) == len(CAPTIONS) and second.asked.counts["asked"] == 0
    assert contents(work) == before
    rows = [row for part in range(3) for row in read_part(work / "texts/theirs", part).to_pylist()]
    assert sorted(row["text"] for row in rows) == sorted(c.replace("dog", "cat") for c in [*CAPTIONS, CAPTIONS[0]])
    assert {(row["kind"], row["is_true"], row["rule"]) for row in rows} == {("replace_object", False, "theirs")}
    assert [(e["old"], e["new"]) for row in rows for e in row["edits"]] == [("dog", "cat")] * 12
    assert first.answers.counts["tokens_in"] == 1100 and first.answers.counts["tokens_out"] == 110


def test_a_request_says_what_is_wanted(tmp_path: Path) -> None:
    with served() as server:
        run(pairs(tmp_path), settings(server, Sampling(temperature=0.3), parameters='{"top_p": 0.9}'))
    request = server.asked[0]
    assert request["model"] == MODEL and request["temperature"] == 0.3 and request["top_p"] == 0.9
    assert request["response_format"]["json_schema"]["schema"]["properties"]["texts"]["maxItems"] == 2
    assert [turn["role"] for turn in request["messages"]] == ["system", *["user", "assistant"] * 2, "user"]
    assert len({one["seed"] for one in server.asked}) == len(CAPTIONS)


def test_texts_that_say_nothing_new_are_refused_with_reasons(tmp_path: Path) -> None:
    def play(request: dict[str, Any], _: int) -> Say:
        caption = caption_of(request)
        odd = [caption.upper() + ".", " ", request["messages"][1]["content"]]
        return Say(texts(*(odd if "number 1 " in caption else ["A cat", "a cat."])))

    with served(play) as server:
        counts = run(pairs(tmp_path), replace(settings(server), texts=3)).texts.counts
    assert counts.under("rejected") == {"duplicate": 11, "empty_text": 1, "the_caption": 1, "the_example": 1}
    assert counts["texts"] == 11 and counts["unanswered"] == 0


def test_more_captions_ask_only_the_new_ones(tmp_path: Path) -> None:
    work = pairs(tmp_path)
    with served() as server:
        run(work, settings(server))
        more = [*CAPTIONS, "a dog that came later"]
        (tmp_path / "captions.jsonl").write_text(
            "".join(json.dumps({"image": f"{c}.jpg", "caption": c}) + "\n" for c in more)
        )
        ingest(IngestSettings(str(tmp_path / "captions.jsonl"), part_size=5), work, LocalEngine(1), overwrite=True)
        run(work, settings(server), overwrite=True)
    assert server.asked_about()[len(CAPTIONS) :] == ["a dog that came later"]


# --- servers that fail -----------------------------------------------------------------------------------------------

GOOD = json.dumps(texts("x")).encode()
STORM = [
    Say({"error": {"message": "overloaded"}}, 500),
    Say(b"<html>bad gateway</html>", 502),
    Say({"error": "busy"}, 429, {"retry-after": "0.05"}),
    Say(GOOD, cut=20),
    Say(b"<html>welcome</html>"),
    Say(hangs_up=True),
    Say(GOOD, after=1.5),
]


def test_the_same_bytes_come_out_of_a_storm(tmp_path: Path) -> None:
    dice = random.Random(4)

    def play(request: dict[str, Any], before: int) -> Say:
        number = CAPTIONS.index(caption_of(request))
        if before < number % 3:
            return STORM[(number + before) % len(STORM)]
        return Say(obliging(request, before).body, after=dice.random() / 30)

    with served(play) as server:
        made = run(work := pairs(tmp_path), settings(server, answer_timeout=0.5))
    assert made.asked.counts["retries"] == len(server.asked) - len(CAPTIONS) == sum(n % 3 for n in range(11))
    assert contents(work) == calm(tmp_path / "calm")


def test_a_server_that_asks_for_a_pause_gets_one_from_all(tmp_path: Path) -> None:
    busy = list[float]()

    def play(request: dict[str, Any], before: int) -> Say:
        if len(server.asked) > 2 and not busy:
            busy.append(time.monotonic())
            return Say("busy", 429, {"retry-after": "0.6"})
        return Say(obliging(request, 0).body, after=0.15)

    with served(play) as server:
        run(pairs(tmp_path, part_size=100), settings(server, at_once=4))
    waited = [time - busy[0] for time in server.times if time > busy[0] + 0.1]
    assert len(waited) >= 6 and min(waited) >= 0.59


def test_requests_keep_to_their_rate(tmp_path: Path) -> None:
    with served() as server:
        run(pairs(tmp_path), settings(server, at_once=8, requests_per_minute=1200))
    assert server.times[-1] - server.times[0] >= 0.05 * (len(CAPTIONS) - 1) - 0.01


BAD = {
    "refusal": Say(chat(None, refusal="I would rather not")),
    "content_filter": Say(chat("", "content_filter")),
    "cut": Say(chat('{"texts": ["a c', "length")),
    "empty": Say(chat("")),
    "not_as_asked": Say(chat("Sure! Here are captions")),
    "request_refused": Say({"error": {"message": "too many tokens"}}, 400),
    "http_500": Say({"error": {"message": "out of memory"}}, 500),
    "timeout": Say(GOOD, after=0.3),
    "broken_reply": Say({"choices": []}),
    "too_long_reply": Say(b" " * (8 * 1024 * 1024 + 1)),
}


def test_what_fails_is_put_aside_with_its_reason_and_asked_again_when_told(tmp_path: Path) -> None:
    reasons, healed = list(BAD), False

    def play(request: dict[str, Any], before: int) -> Say:
        number = CAPTIONS.index(caption_of(request))
        return obliging(request, before) if healed or number >= len(reasons) else BAD[reasons[number]]

    work = pairs(tmp_path)
    with served(play) as server:
        how = settings(server, answer_timeout=0.2, attempts=2, at_once=1)
        made = run(work, how)
        assert made.failed == dict.fromkeys(sorted(BAD), 1)
        assert {row["caption"]: row["reason"] for row in rejected(work)} == dict(zip(CAPTIONS, reasons, strict=False))
        assert made.texts.counts["unanswered"] == len(BAD) + 1  # the first caption stands twice
        asked = len(server.asked)
        run(work, how)
        assert len(server.asked) == asked
        healed = True
        made = run(work, settings(server, retry_failed=True))
        assert sorted(server.asked_about()[asked:]) == sorted(CAPTIONS[: len(BAD)])
        assert not {one["seed"] for one in server.asked[asked:]} & {one["seed"] for one in server.asked[:asked]}
    assert made.failed == {} and not (work / "answers/theirs/rejected.parquet").exists()
    assert made.texts.counts["texts"] == 12 and made.texts.counts["unanswered"] == 0
    assert made.answers.counts["tokens_in"] == 100 * (11 + 5)  # five of the failures cost something


def test_a_model_of_no_use_stops_the_run_before_it_costs_much(tmp_path: Path) -> None:
    work = pairs(tmp_path, [f"caption {n}" for n in range(200)], 100)
    with served(lambda *_: Say(chat("I am sorry"))) as server, pytest.raises(InputError, match="of no use") as found:
        run(work, settings(server))
    assert len(server.asked) < 80 and "not_as_asked" in str(found.value)


def test_a_server_that_dies_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    dead = False

    def play(request: dict[str, Any], before: int) -> Say:
        return Say(hangs_up=True) if dead or len(server.asked) > 20 else obliging(request, before)

    captions = [f"a dog of number {n}" for n in range(60)]
    with served(play) as server:
        with pytest.raises(ResourceError, match="does not answer any more"):
            run(work := pairs(tmp_path, captions, 30), settings(server, attempts=2))
        answered = server.asked_about()[:20]
        server.answer = obliging
        run(work, settings(server))
        again = server.asked_about()
    assert all(again.count(caption) == 1 for caption in answered)


def test_a_killed_run_asks_only_what_is_missing_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    work = pairs(tmp_path)
    with served(lambda request, before: Say(obliging(request, before).body, after=0.05)) as server:
        process = multiprocessing.get_context("fork").Process(target=run, args=(work, settings(server, at_once=1)))
        process.start()
        while len(server.asked) < 7:
            time.sleep(0.005)
        process.kill()
        process.join()
        run(work, settings(server))
        asked = server.asked_about()
    assert len(asked) <= len(CAPTIONS) + 1  # and what was under way at the kill
    assert contents(work) == calm(tmp_path / "calm")


# --- endpoints that will not do --------------------------------------------------------------------------------------


def test_an_endpoint_without_schemas_is_asked_for_an_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def play(request: dict[str, Any], before: int) -> Say:
        knows = request["response_format"]["type"] == "json_object"
        return obliging(request, before) if knows else Say({"error": {"message": "unknown response_format"}}, 400)

    with served(play) as server:
        made = run(pairs(tmp_path), settings(server))
    assert made.answers.counts.under("form") == {"json_object": 11} and len(server.asked) == 12
    assert "knows no json_schema" in capsys.readouterr().err


def _refusing(status: int, message: str, **headers: str) -> Play:
    return lambda *_: Say({"error": {"message": message}}, status, headers)


@pytest.mark.parametrize(
    ("play", "error", "words"),
    [
        (_refusing(400, "no response_format"), UsageError, ["json_schema or json_object", "no response_format"]),
        (_refusing(401, f"bad key {KEY}"), UsageError, ["refuses the key", "--llm-key-variable"]),
        (_refusing(404, "no such model"), UsageError, ["no such model", "/v1"]),
        (_refusing(429, "pay: insufficient_quota"), ResourceError, ["out of money"]),
        (_refusing(307, "there", location="https://elsewhere.example/v1?sig=1"), UsageError, ["elsewhere.example"]),
    ],
)
def test_what_no_request_can_mend_is_one_message(
    tmp_path: Path, play: Play, error: type[NegmineError], words: list[str]
) -> None:
    with served(play) as server, pytest.raises(error) as found:
        run(work := pairs(tmp_path), settings(server))
    assert all(word in str(found.value) for word in words), found.value
    assert len(server.asked) <= 6 and found.value.fix
    assert not (work / "answers/theirs/manifest.json").exists()


def test_a_model_that_is_not_there_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with served() as server:
        how = settings(server)
        wrong = EndpointSettings(url=server.url, model="small-modle")
        with pytest.raises(UsageError, match="unknown model") as found:
            run(pairs(tmp_path), WriteSettings(name="theirs", prompts=how.prompts, endpoint=wrong))
    assert MODEL in str(found.value) and not server.asked


def test_no_server_is_one_message(tmp_path: Path) -> None:
    with served() as server:
        url = server.url
    with pytest.raises(ResourceError, match="no endpoint answers here") as found:
        run(pairs(tmp_path), settings(url))
    assert url in str(found.value)


def test_a_budget_is_kept_and_the_run_goes_on_with_a_larger_one(tmp_path: Path) -> None:
    work = pairs(tmp_path)
    small = Sampling(most_answer_tokens=10)
    with served() as server:
        with pytest.raises(ResourceError, match="budget is spent") as found:
            run(work, settings(server, small, budget=Budget(most_tokens=1500)))
        asked = len(server.asked)
        assert 1 <= asked * 110 <= 1500 and "0 left" not in str(found.value)
        with pytest.raises(ResourceError, match="in money"):
            run(work, settings(server, small, budget=Budget(most_cost=0.008, price_in=5, price_out=10)))
        run(work, settings(server, small, budget=Budget(most_tokens=100_000)))
    assert sorted(server.asked_about()) == sorted(CAPTIONS)


# --- the key ---------------------------------------------------------------------------------------------------------


def test_a_key_reaches_the_server_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THEIR_DOOR", KEY)

    def play(request: dict[str, Any], before: int) -> Say:
        number = CAPTIONS.index(caption_of(request))
        if number == 1:
            return Say({"error": {"message": f"Bearer {KEY} is slow"}}, 500)
        if number == 2:
            return Say(chat(f"no JSON but {KEY}"))
        if number == 3:
            return Say({"error": {"message": f"{KEY} may not ask this"}}, 400)
        if number == 5:
            escaped = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
            return Say(json.dumps(texts("a cat said it")).replace("it", escaped).encode())
        return Say(texts(f"a cat said {KEY}")) if number == 4 else obliging(request, before)

    with served(play) as server:
        run(work := pairs(tmp_path), settings(server, key_variable="THEIR_DOOR", at_once=1))
        server.answer = _refusing(403, f"{KEY} is over")
        (work / "answers/theirs/manifest.json").unlink()
        with pytest.raises(UsageError) as found:
            run(work, settings(server, key_variable="THEIR_DOOR"))
    assert set(server.keys) == {f"Bearer {KEY}"}
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 8 and not any(KEY.encode() in content for content in kept)
    shown = capsys.readouterr()
    assert KEY not in str(found.value) + repr(found.value) + shown.err + shown.out and "THEIR_DOOR" in str(found.value)
    said = [row["detail"] for row in rejected(work)]
    assert sum("***" in detail for detail in said) == 3


@pytest.mark.parametrize(
    ("url", "variable", "sent"),
    [
        ("https://model.example/v1", None, True),
        ("http://127.0.0.1:8000/v1", None, True),
        ("http://next-door:8000/v1", None, False),
        ("http://next-door:8000/v1", "OPENAI_API_KEY", True),
    ],
)
def test_the_usual_key_goes_nowhere_in_the_clear_unless_told(
    monkeypatch: pytest.MonkeyPatch, url: str, variable: str | None, sent: bool
) -> None:
    from negmine.llm.client import read_key

    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n")
    assert read_key(EndpointSettings(url=url, model="m", key_variable=variable)) == (KEY if sent else None)


def test_a_variable_that_holds_no_key_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from negmine.llm.client import read_key

    monkeypatch.setenv("THEIR_DOOR", "two words")
    for name, words in (("THEIR_DOOR", "holds no key"), ("NOT_SET_AT_ALL", "is not set")):
        with pytest.raises(UsageError, match=words) as found:
            read_key(EndpointSettings(url="https://h/v1", model="m", key_variable=name))
        assert "two words" not in str(found.value)


# --- answers on the disk ---------------------------------------------------------------------------------------------


def _name(n: int) -> str:
    return sha256(bytes([n])).hexdigest()


def _answer(n: int) -> Answer:
    return Answer(_name(n), "p", f"caption {n}", None, '{"texts": []}', MODEL, None, "json_schema", 5, 2)


def test_a_journal_cut_anywhere_keeps_every_answer_before_the_cut(tmp_path: Path) -> None:
    with Answers.open(tmp_path) as answers:
        for n in (2, 1, 3):
            answers.add(_answer(n))
        answers.fail(Failure(_name(9), "p", "c", None, "cut", "", 1, 5, 2))
    journal = (tmp_path / ".journal.jsonl").read_bytes()
    ends = [n + 1 for n, byte in enumerate(journal) if byte == 10]
    for cut in range(0, len(journal) + 1, 61):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / ".journal.jsonl").write_bytes(journal[:cut])
        with Answers.open(folder) as answers:
            whole = max(sum(end <= cut for end in ends) - 1, 0)
            assert [answers.is_known(_name(n)) for n in (2, 1, 3, 9)] == [n < whole for n in range(4)]
            answers.add(_answer(7))
        with Answers.open(folder) as answers:
            assert answers.is_known(_name(7))


def test_a_journal_that_was_changed_is_refused(tmp_path: Path) -> None:
    with Answers.open(tmp_path) as answers:
        answers.add(_answer(1))
    journal = tmp_path / ".journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"caption 1", b"caption 2"))
    with pytest.raises(DamagedError, match="journal is damaged"), Answers.open(tmp_path):
        pass


def test_a_kill_between_the_manifest_and_the_journal_does_no_harm(tmp_path: Path) -> None:
    with Answers.open(tmp_path) as answers:
        answers.add(_answer(1))
        journal = (tmp_path / ".journal.jsonl").read_bytes()
        answers.seal()
    sealed = load_manifest(tmp_path)
    (tmp_path / ".journal.jsonl").write_bytes(journal)
    with Answers.open(tmp_path) as answers:
        answers.seal()
    assert load_manifest(tmp_path) == sealed and not (tmp_path / ".journal.jsonl").exists()


def test_answers_that_somebody_changed_are_refused(tmp_path: Path) -> None:
    work = pairs(tmp_path)
    with served() as server:
        how = settings(server)
        question = writings(how)[0].questions.about(CAPTIONS[5])
        with Answers.open(work / "answers/theirs") as answers:
            answers.add(replace(_answer(1), question=question.name, answer='{"texts": 7}'))
            answers.seal()
        with pytest.raises(DamagedError, match="an answer is not what was asked for"):
            run(work, how)
        folder = work / "answers/theirs"
        write_table(folder, "part-00000.parquet", read_part(folder, 0).drop_columns("answer"))
        with pytest.raises(DamagedError, match="answers are damaged"):
            run(work, how)
