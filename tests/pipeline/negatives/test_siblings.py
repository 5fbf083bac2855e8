"""What the other captions of an image say, against the union of them, made anew for each."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from negmine.stages.negatives.guards import Evidence, together
from negmine.stages.negatives.siblings import FEW, AllBut, others_of

WORDS = st.frozensets(st.sampled_from("abcdefgh"))
CLAIMS = st.frozensets(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")))
SAID = st.builds(Evidence, WORDS, WORDS, CLAIMS, WORDS)


def _check(said: dict[str, Evidence]) -> None:
    found = others_of(said)
    assert found.keys() == said.keys()
    for text, others in found.items():
        union = together(one for other, one in said.items() if other != text)
        assert [set(sets) for sets in others] == [set(sets) for sets in union]


@given(st.dictionaries(st.text(max_size=3), SAID, max_size=6))
def test_all_but_ones_own(said: dict[str, Evidence]) -> None:
    _check(said)


def test_of_an_image_with_many_captions() -> None:
    words = [f"word{number}" for number in range(9)]
    numbers = range(FEW + 5)
    _check({f"{n}": Evidence(frozenset({words[n % 9], f"own{n}"}), texts=frozenset({f"{n}"})) for n in numbers})
    found = others_of({f"{n}": Evidence(texts=frozenset({f"{n}"})) for n in numbers})
    assert all(isinstance(others.texts, AllBut) for others in found.values())
    assert found["3"].texts.isdisjoint({"3"}) and not found["3"].texts.isdisjoint({"3", "4"})


@given(WORDS, WORDS, WORDS)
def test_a_set_without_some(every: frozenset[str], but: frozenset[str], other: frozenset[str]) -> None:
    view, plain = AllBut(every, but & every), every - but
    assert set(view) == plain and len(view) == len(plain) and view == plain
    assert view.isdisjoint(other) == plain.isdisjoint(other)
    assert set(view | other) == plain | other and len(view | other) == len(plain | other)
    assert (view & other, view - other) == (plain & other, plain - other)
    assert [word in view for word in "abcdefgh"] == [word in plain for word in "abcdefgh"]


def test_the_work_is_linear_in_the_captions_of_an_image() -> None:
    """Counted, not timed: every hash of a member that is asked for."""
    asked = count()

    class Word(str):
        def __hash__(self) -> int:
            next(asked)
            return str.__hash__(self)

    def hashes(captions: int) -> int:
        before = next(asked)
        said = {f"{n}": Evidence(frozenset(Word(f"{n}-{m}") for m in range(4))) for n in range(captions)}
        for text, others in others_of(said).items():
            _ = others.words | said[text].words
            others.words.isdisjoint(said[text].words)
        return next(asked) - before

    assert hashes(8 * FEW) < 2.5 * hashes(4 * FEW)
