"""A judge's probabilities beside texts, and what is kept by them."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from negmine.base.errors import UsageError
from negmine.contract.records import Edit, Text
from negmine.engine.local import LocalEngine
from negmine.language.difference import edits_between
from negmine.llm.client import Reply
from negmine.llm.settings import EndpointSettings
from negmine.llm.verdicts import probability, read_yes
from negmine.stages.judging.kept import reason_against
from negmine.stages.judging.settings import JudgeSettings
from negmine.stages.judging.stage import JudgedTexts, judge
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.store import Spec, Store, load_manifest, read_part
from negmine.store.texts import texts_stage, write_texts
from PIL import Image

from tests.pipeline.llm.scripted import MODEL, Say, Scripted, chat, served, verdict

CAPTION = "a dog runs"
SAYS = {"a cat runs": (0.1, 0.9), "a dog moves": (0.8, 0.9), "an animal runs": (0.9, 0.8), "colour dog": (0.0, 0.2)}
"""Of each text: whether it is still true, and plausible."""
TRUE = "an animal runs"
"""The one that is offered as true."""


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work folder with two pairs of one caption, their images, and texts for them."""
    for n in range(2):
        Image.new("RGB", (900, 300), (200, 40 * n, 10)).save(tmp_path / f"{n}.jpg")
    rows = [{"image": f"{n}.jpg", "caption": CAPTION} for n in range(2)]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    work = tmp_path / "work"
    ingest(IngestSettings(str(tmp_path / "c.jsonl"), images=str(tmp_path)), work, LocalEngine(1))
    offer(work, "some")
    return work


def offer(work: Path, name: str) -> None:
    """Texts as another command leaves them."""
    spec = Spec(texts_stage(name), {}, {"pairs": load_manifest(work / "pairs").digest})
    with Store.open(work / texts_stage(name), spec) as store:
        texts = [
            Text(pair["key"], pair["image_id"], CAPTION, text, text == TRUE, "rewrite", name, _edits(text))
            for pair in read_part(work / "pairs", 0).to_pylist()
            for text in SAYS
        ]
        store.commit(write_texts(store.folder, 0, 2, texts))
        store.finish()


def _edits(text: str) -> tuple[Edit, ...]:
    return edits_between(CAPTION, text)


def fair(request: dict[str, Any], _: int) -> Say:
    """Knows `SAYS`."""
    system, asked = request["messages"][0]["content"], request["messages"][-1]["content"]
    words = asked if isinstance(asked, str) else asked[-1]["text"]
    still_true, plausible = SAYS[next(text for text in SAYS if f": {text}\n" in words)]
    yes = plausible if "may have written" in system else still_true
    likeliest = {" Yes": yes / 2, "yes": yes / 4, "No": (1 - yes) * 0.75, "The": 0.2}
    return Say(verdict(**{token: max(p, 1e-9) for token, p in likeliest.items()}))


def run(work: Path, server: Scripted, **more: Any) -> JudgedTexts:
    endpoint = EndpointSettings(url=server.url, model=MODEL, wait=0.001, attempts=2)
    return judge(JudgeSettings(texts="some", name="good", endpoint=endpoint, **more), work, LocalEngine(1))


def test_probabilities_stand_beside_the_texts_and_sort_them_out(work: Path) -> None:
    with served(fair) as server:
        made = run(work, server)
        assert len(server.asked) == 8  # two of each text, though it stands with two pairs
        run(work, server)
        loose = run(work, server, most_still_true=0.85, least_plausible=0.0)
        assert len(server.asked) == 8
    rows = read_part(work / "judged/good", 0).to_pylist()
    assert [row["text"] for row in rows] == [*SAYS, *SAYS]
    for row in rows:
        assert (row["still_true"], row["plausible"]) == pytest.approx(SAYS[row["text"]], abs=1e-6)
    assert made.kept.counts.under("rejected") == {"implausible": 2, "still_true": 2}
    assert made.kept.counts["texts"] == 4 and loose.kept.counts["texts"] == 8
    kept = read_part(work / "texts/good", 0).to_pylist()
    assert {row["rule"] for row in kept} == {"good"}
    assert kept[0]["score"] == pytest.approx((1 - 0.1) * 0.9, abs=1e-6)
    assert made.judged.counts.mean("still_true of true texts") == pytest.approx(0.9, abs=1e-6)


def test_a_request_asks_for_one_token_and_its_probabilities(work: Path) -> None:
    with served(fair) as server:
        run(work, server)
    one = server.asked[0]
    assert (one["max_tokens"], one["temperature"], one["logprobs"], one["top_logprobs"]) == (1, 0, True, 20)
    assert "response_format" not in one and "First: a dog runs\nSecond: " in one["messages"][-1]["content"]


def test_a_judge_that_sees_gets_the_picture_and_not_the_caption(work: Path) -> None:
    (work.parent / "1.jpg").unlink()
    with served(fair) as server:
        made = run(work, server, pictures=True, picture_size=300)
    asked = [one["messages"][-1]["content"] for one in server.asked]
    seeing = [content for content in asked if isinstance(content, list)]
    assert len(seeing) == 4 and not any(CAPTION in content[-1]["text"] for content in seeing)
    url = seeing[0][0]["image_url"]["url"]
    with Image.open(io.BytesIO(b64decode(url.removeprefix("data:image/jpeg;base64,")))) as shown:
        assert shown.size == (300, 100) and shown.getpixel((150, 50)) == pytest.approx((200, 0, 10), abs=6)
    assert made.answers.counts.under("rejected") == {"no_picture": 4}
    assert made.kept.counts.under("rejected")["unanswered"] == 4


def test_an_endpoint_without_probabilities_is_one_message(work: Path) -> None:
    with served(lambda *_: Say(chat("Yes"))) as server, pytest.raises(UsageError, match="answer by probabilities"):
        run(work, server)
    assert len(server.asked) == 3 and not (work / "answers/good/manifest.json").exists()


def test_an_answer_that_is_neither_is_put_aside(work: Path) -> None:
    def play(request: dict[str, Any], before: int) -> Say:
        dodges = "a cat runs" in request["messages"][-1]["content"]
        return Say(verdict(Maybe=0.9, The=0.1)) if dodges else fair(request, before)

    with served(play) as server:
        made = run(work, server)
    assert made.answers.counts.under("rejected") == {"not_as_asked": 2}
    details = pq.read_table(work / "answers/good/rejected.parquet")["detail"].to_pylist()
    assert all("neither yes nor no" in detail and "Maybe" in detail for detail in details)


def test_texts_of_another_command_are_not_replaced(work: Path) -> None:
    offer(work, "good")
    with served(fair) as server, pytest.raises(UsageError, match="which nobody judged"):
        run(work, server)
    assert not server.asked


def test_texts_that_are_not_there_are_named(work: Path) -> None:
    (work / "texts/some").rename(work / "texts/others")
    with served(fair) as server, pytest.raises(UsageError, match="there are: others"):
        run(work, server)


@pytest.mark.parametrize(
    ("is_true", "still_true", "plausible", "reason"),
    [
        (False, 0.5, 0.5, None),
        (False, 0.51, 0.9, "still_true"),
        (True, 0.49, 0.9, "not_true"),
        (True, 0.9, 0.49, "implausible"),
        (True, None, 0.9, "unanswered"),
    ],
)
def test_bounds(is_true: bool, still_true: float | None, plausible: float, reason: str | None) -> None:
    settings = JudgeSettings(texts="a", name="b", endpoint=EndpointSettings(url="https://h/v1", model="m"))
    assert reason_against(settings, is_true, still_true, plausible) == reason


def test_yes_in_every_spelling_counts() -> None:
    likeliest = ((" Yes", -1.0), ("**yes", -1.0), ("No", -1.0), ("Yesterday", -0.1))
    assert probability(read_yes(Reply("", None, None, likeliest, None, 0, 0))) == pytest.approx(2 / 3)
