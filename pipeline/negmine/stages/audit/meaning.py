"""Replacements that leave the caption true, or that another caption of the image supports."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from negmine.language.difference import changed_runs
from negmine.stages.audit.differences import (
    FUNCTION_WORDS,
    Change,
    Judged,
    content_stems,
    is_word,
    lower,
    stem,
    wordlist,
)
from negmine.stages.audit.wording import number_of

_SAME: Final = (
    "large big huge giant enormous gigantic massive immense gargantuan oversized great",
    "small little tiny mini miniature petite",
    "tall high",
    "short low",
    "old elderly aged",
    "old vintage antique ancient older",
    "young youthful little",
    "red crimson scarlet maroon",
    "blue navy azure teal turquoise",
    "tan beige brown khaki",
    "purple violet lavender",
    "gray grey silver",
    "white ivory cream",
    "yellow gold golden",
    "pink rose magenta",
    "blond blonde",
    "wood wooden",
    "metal metallic steel iron",
    "couch sofa loveseat settee",
    "bike bicycle",
    "motorbike motorcycle",
    "tv television",
    "laptop computer",
    "cellphone phone smartphone",
    "airplane plane aircraft jet airliner",
    "photo photograph picture image",
    "street road roadway",
    "sidewalk pavement",
    "ocean sea",
    "boat ship",
    "car automobile vehicle",
    "fridge refrigerator",
    "cup mug",
    "kid child boy toddler",
    "kid child girl toddler",
    "person man guy gentleman",
    "person woman lady",
    "baby infant toddler",
    "cat kitten kitty",
    "dog puppy",
    "horse pony",
    "sheep lamb",
    "cow bull calf cattle",
    "bathroom restroom lavatory washroom",
    "toilet commode",
    "store shop",
    "stove oven",
    "rock stone",
    "hat cap",
    "jacket coat",
    "woods forest",
    "hill slope",
    "racket racquet",
    "doughnut donut",
    "bunch group",
    "holding carrying gripping",
    "sitting seated",
    "standing stood",
    "looking staring gazing watching",
    "laying lying resting",
    "running jogging",
    "eating feeding grazing",
    "walking strolling",
    "riding cycling",
    "skateboarding skating",
    "smiling grinning",
    "jumping leaping",
    "cutting slicing",
    "talking speaking chatting",
    "in inside within",
    "on atop upon onto",
    "near by beside alongside around nearby",
    "below under beneath underneath",
    "above over",
    "toward towards",
    "across over",
    "several many multiple various numerous",
    "couple two pair",
    "empty vacant bare",
    "close near",
    "happy smiling joyful cheerful",
    "pretty beautiful lovely",
    "cloudy overcast",
    "wet damp soaked",
    "crowded busy",
    "colorful multicolored",
    "dirty filthy",
    "quick swift fast rapid",
)
"""Words of one line may both be true of one image."""

_PHRASES: Final = (
    frozenset({"on", "on top of", "atop", "upon", "atop of"}),
    frozenset({"next to", "near", "beside", "by", "alongside", "close to", "near to", "around", "adjacent to"}),
    frozenset({"in", "inside", "inside of", "within"}),
    frozenset({"a couple of", "two", "a pair of"}),
    frozenset({"under", "underneath", "below", "beneath"}),
    frozenset({"a lot of", "lots of", "many", "plenty of", "a bunch of", "several"}),
    frozenset({"in front of", "before"}),
)


@lru_cache(maxsize=1)
def _groups() -> Mapping[str, frozenset[int]]:
    """Word (as written, and its stem) to the numbers of its lines in `_SAME`."""
    lines: dict[str, set[int]] = {}
    for number, line in enumerate(_SAME):
        for word in line.split():
            lines.setdefault(word, set()).add(number)
            lines.setdefault(stem(word), set()).add(number)
    return {word: frozenset(numbers) for word, numbers in lines.items()}


def overlap(old: str, new: str) -> bool:
    """Whether `new` may be true where `old` is: near-synonym, synonym or hypernym."""
    groups = _groups()
    mine = groups.get(old, frozenset()) | groups.get(stem(old), frozenset())
    return bool(mine & (groups.get(new, frozenset()) | groups.get(stem(new), frozenset()))) or _in_wordnet(old, new)


@lru_cache(maxsize=100_000)
def _in_wordnet(old: str, new: str) -> bool:
    """A synonym of one of the commonest senses (any part of speech), or a hypernym of the noun."""
    from negmine.language.lexicon import packaged_lexicon

    lexicon = packaged_lexicon()
    for one, other in ((old, new), (stem(old), stem(new))):
        if any(other in lexicon.entry(one, pos).synonyms for pos in "nva") or other in lexicon.entry(one).hypernyms:
            return True
    return False


def is_still_said(item: Judged) -> bool:
    """A word or phrase was replaced by one that may be true where the old one is (criterion C12)."""
    present = frozenset(lower(item.before))
    return _is_only_inflected(item) or any(_says_the_same(change, present) for change in item.changes)


def _is_only_inflected(item: Judged) -> bool:
    """Nothing but endings of words was changed."""
    return bool(item.changes) and all(
        [stem(word) for word in change.old] == [stem(word) for word in change.new] and change.old != ()
        for change in item.changes
    )


def _says_the_same(change: Change, present: frozenset[str]) -> bool:
    old, new = " ".join(change.old), " ".join(change.new)
    if not old or not new or set(change.new) <= present:  # moved, not replaced
        return False
    if any(old in phrases and new in phrases for phrases in _PHRASES):
        return True
    old, new = (text.removeprefix("an ").removeprefix("a ") for text in (old, new))
    return stem(old) != stem(new) and overlap(old, new)  # "dog", "dogs": the count was changed, elsewhere


def says_a_sibling_word(item: Judged) -> bool:
    """A new content word, or an inflection of it, is in another caption of the image (criterion C13)."""
    return bool(_new_stems(item) & _sibling_stems(item))


def says_a_word_implied_by_a_sibling(item: Judged) -> bool:
    """A new word is a synonym or hypernym of a word in another caption: a suspicion."""
    return any(overlap(theirs, new) for new in _new_stems(item) for theirs in _sibling_stems(item) if theirs != new)


def _new_stems(item: Judged) -> frozenset[str]:
    return content_stems(item.negative) - content_stems(item.caption)


def _sibling_stems(item: Judged) -> frozenset[str]:
    return frozenset().union(*(_stems(text) for text in item.siblings))


@lru_cache(maxsize=10_000)
def _stems(text: str) -> frozenset[str]:
    return content_stems(text)


# --- less said, or more that goes without saying ---------------------------------------------------------------------

_PRIVATIVE: Final = wordlist(
    "toy fake stuffed plastic model mock painted pretend statue sculpture picture photo drawing image reflection "
    "shadow no not without never nobody nothing none neither nor few hardly barely cannot"
)
"""Words without which a text says something else, or the contrary."""


def only_leaves_out(item: Judged) -> bool:
    """Words are gone and none has come: what is true with more words is true with less, outside a negation."""
    gone = [word for change in item.changes for word in change.old]
    return (
        bool(gone)
        and all(set(change.new) <= {"a", "an"} and len(change.new) < len(change.old) for change in item.changes)
        and not _PRIVATIVE.intersection(lower(item.before))
        and not any(word.endswith(("n't", "n’t")) for word in lower(item.before))
        and any(is_word(word) and word not in FUNCTION_WORDS for word in gone)
    )


_KINDS: Final = wordlist(
    "rocking folding dining living swimming washing sewing parking racing sailing fishing rowing skating wedding "
    "baking frying mixing serving shopping steering cutting"
)
"""Participles that make a kind of a thing: *rocking chair*."""


def names_a_kind(item: Judged) -> bool:
    """A thing has become one of its kinds: *game* a *video game*, *chair* a *rocking chair*, *dog* a *poodle*."""
    before, after = lower(item.before), lower(item.after)
    return any(_is_kind(before, after, *places) for places in changed_runs(before, after))


def _is_kind(before: tuple[str, ...], after: tuple[str, ...], i: int, j: int, k: int, m: int) -> bool:
    from negmine.language.lexicon import packaged_lexicon

    lexicon = packaged_lexicon()
    old, new = (tuple(w for w in words if w not in ("a", "an")) for words in (before[i:j], after[k:m]))
    if len(old) == 1 and new and old[0] not in after and new[-1] not in before:
        thing, kind = stem(old[0]), " ".join((*new[:-1], stem(new[-1])))
        return thing in lexicon.entry(kind).hypernyms and lexicon.broad_class(kind) == _CLASS.get(
            thing, lexicon.broad_class(thing)
        )
    if old or len(new) != 1 or i >= len(before) or number_of(before[i]) == "":
        return False
    return new[0] in _KINDS or _is_plain_noun(new[0])


_CLASS: Final = {"person": "person", "animal": "animal", "plant": "plant", "food": "food", "object": "artifact"}
"""Class of the kinds of what is itself a class."""
_MATTER: Final = wordlist(
    "metal steel iron brass bronze copper gold silver stone brick concrete wood glass leather plastic paper "
    "cardboard cotton silk wool denim lace straw marble tile rubber clay velvet fur cobblestone chrome "
    "crystal plaid clear toy baby giant miniature adult"
)
"""Nouns that say what a thing is like, not which kind of it."""


def _is_plain_noun(word: str) -> bool:
    from negmine.language.lexicon import packaged_lexicon

    lexicon = packaged_lexicon()
    noun = bool(lexicon.entry(word).classes) and not lexicon.entry(word, "a").classes and number_of(word) != "p"
    return noun and word not in _MATTER | FUNCTION_WORDS and not word.endswith(("ing", "ed"))


_BY_DEFAULT: Final = {
    "metal metallic steel iron": "bicycle bike motorcycle motorbike car truck bus train scissors fork knife faucet",
    "young little small": "baby child toddler infant boy girl kid kitten puppy calf foal lamb chick cub",
    "green": "grass lawn broccoli lettuce cucumber leaf bush tree spinach",
    "blue": "sky ocean",
    "white": "snow cloud milk toilet sheep seagull",
    "yellow": "banana lemon",
    "orange": "carrot",
    "red": "tomato strawberry",
    "gray grey": "elephant",
    "striped": "zebra",
    "spotted tall": "giraffe",
    "tall": "skyscraper",
    "large big": "elephant airplane bus whale skyscraper",
    "round": "ball wheel pizza donut doughnut orange coin tire",
    "rubber black": "tire",
    "wooden": "tree log branch stump",
    "ceramic porcelain": "toilet mug",
    "wet": "water rain ocean river lake",
    "cold": "snow ice",
    "furry": "cat dog bear kitten puppy sheep rabbit",
    "plastic": "frisbee toothbrush",
    "glass": "window mirror",
}
_DEFAULTS: Final = frozenset(
    (one, thing) for words, things in _BY_DEFAULT.items() for one in words.split() for thing in things.split()
)


def goes_without_saying(item: Judged) -> bool:
    """A thing was given an attribute that most of its kind have: *metal bicycle*, *green grass*, *young child*."""
    before, after = lower(item.before), lower(item.after)
    added = [places for places in changed_runs(before, after) if set(before[places[0] : places[1]]) <= {"a", "an"}]
    return any(
        (after[n], stem(after[n + 1])) in _DEFAULTS
        for _, _, k, m in added
        for n in range(k, m)
        if after[n] not in before and n + 1 < len(after)
    )
