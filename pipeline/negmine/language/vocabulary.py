"""The curated word classes of ``data/*.toml``, indexed for the rules and guards."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any, Final, NamedTuple, Required, TypedDict

COUNTED: Final = ("count", "mass", "plural")
"""Ways a noun is counted: one section of ``nouns.toml`` each."""

LEAST_SUFFIX: Final = 4
"""Letters of a noun that, at the end of a longer word, is taken to say what the whole is: a sailboat is a boat."""

NONE: Final[frozenset[str]] = frozenset()
Signs = Mapping[str, frozenset[str]]
"""Word to the words which, said of the same image, are a sign that it may be true."""


class Place(NamedTuple):
    """A noun's place in one group of nouns: the concept it names, and what may stand in for it."""

    group: str
    concept: str
    others: tuple[str, ...]
    after: frozenset[str]
    not_after: frozenset[str]


class Value(NamedTuple):
    """An attribute's value and what may stand in for it."""

    dimension: str
    name: str
    others: tuple[str, ...]


class Dimension(NamedTuple):
    """What the attributes of one dimension apply to; an empty set sets no condition.

    Attributes:
        likely: noun or class to the values put in for it, where these are limited.
        usual: value to the nouns of which it is true as a rule.
        shades: words that make one name with a value behind them ("mint green").
    """

    classes: frozenset[str]
    nouns: frozenset[str]
    not_nouns: frozenset[str]
    predicate: bool
    likely: Mapping[str, frozenset[str]]
    usual: Mapping[str, frozenset[str]]
    shades: frozenset[str]

    def allows(self, value: str, noun: str, broad_class: str) -> bool:
        """Whether a value is likely enough of a noun of a class."""
        name = next((name for name in (noun, _last_word(noun), broad_class) if name in self.likely), None)
        return name is None or value in self.likely[name]

    def is_usual(self, value: str, noun: str) -> bool:
        """Whether a noun as a rule has a value, said or not."""
        return not self.usual.get(value, NONE).isdisjoint((noun, _last_word(noun)))


class Contrary(NamedTuple):
    """Prepositions that make the caption false before an object of `objects` (empty: before any)."""

    to: tuple[str, ...]
    objects: frozenset[str]


WORN: Final = frozenset({"garment", "headwear", "neckwear", "clothes", "eyewear", "costume", "footwear"})
"""Groups of garments."""


class Action(NamedTuple):
    """An action's place in one set of actions that exclude each other.

    `objects` are nouns, or broad classes in capitals; `subjects` broad classes, `not_subjects` nouns of these for which
    the actions look alike; `after` words that may follow the verb, "" where it ends the caption. An empty set sets no
    condition.
    """

    name: str
    others: tuple[str, ...]
    subjects: frozenset[str] = NONE
    not_subjects: frozenset[str] = NONE
    objects: frozenset[str] = NONE
    after: frozenset[str] = NONE


Actions = Mapping[str, tuple[Action, ...]]


class Setting(NamedTuple):
    """Places of one setting, each a preposition and a noun, the nouns alone, and words that go with them."""

    places: tuple[tuple[str, str], ...]
    nouns: frozenset[str]
    signs: frozenset[str]


@dataclass(frozen=True)
class Vocabulary:
    """Everything the data files say.

    Attributes:
        nouns: how a noun is counted (``count``, ``mass``, ``plural``) to its form to its places.
        kinds: kind of things to the nouns put in for one another.
        kind_of: noun to its kind; kind_of_class: broad class to that of its other nouns.
        noun_signs: noun to the words that are a sign of it.
        overlapping: noun to those that may be said of the same thing, or that one image holds together.
        dimensions: by name.
        attributes: form to its values (a word such as "old" is in two dimensions).
        attribute_signs: value to the words that are a sign of it.
        complex: multi-word prepositions as tuples by their first word, longest first.
        contraries: preposition to what replaces it.
        near: preposition to those that may be true with it, itself included.
        symmetric: prepositions that hold both ways.
        symmetric_verbs: lemmas of verbs whose two sides cannot be told apart, or make no sense exchanged.
        reversible: lemma of a verb that either side may do to the other to the broad classes of both.
        reversible_places: prepositions that either of two alike things may be told of.
        exclusive_places: phrases of place of which each is replaced by the other, and of what groups.
        units: multi-word units as tuples of lower-case words.
        measures, vague, scenes, uncounted, several_people: sets of lemmas, see the data file.
        counts: number to its words; the first is the one put in.
        function_words: words that say nothing of what a caption is about.
        closed_class: these, and all other words of closed classes.
        foreign: common words of other languages.
        more_than_two: words such as "several"; signs_of_more: their signs.
        measured: measure to those that exclude it ("a group of", "a couple of").
        sexes: noun to ``male`` or ``female``.
        transitive, intransitive: verb's lemma to its places among actions that exclude each other.
        participles: the same for participles of a state, as they are written ("parked").
        settings: places that belong together.
        lifeless: nouns that are said to do nothing.
        action_signs: action to all its forms.
    """

    nouns: Mapping[str, Mapping[str, tuple[Place, ...]]]
    kinds: Mapping[str, tuple[str, ...]]
    kind_of: Mapping[str, str]
    kind_of_class: Mapping[str, str]
    noun_signs: Signs
    overlapping: Signs
    dimensions: Mapping[str, Dimension]
    attributes: Mapping[str, tuple[Value, ...]]
    attribute_signs: Signs
    complex: Mapping[str, tuple[tuple[str, ...], ...]]
    contraries: Mapping[str, tuple[Contrary, ...]]
    near: Signs
    symmetric: frozenset[str]
    symmetric_verbs: frozenset[str]
    reversible: Signs
    reversible_places: frozenset[str]
    exclusive_places: tuple[tuple[str, str, frozenset[str]], ...]
    units: frozenset[tuple[str, ...]]
    measures: frozenset[str]
    vague: frozenset[str]
    scenes: frozenset[str]
    uncounted: frozenset[str]
    several_people: frozenset[str]
    counts: Mapping[int, tuple[str, ...]]
    function_words: frozenset[str]
    closed_class: frozenset[str]
    foreign: frozenset[str]
    more_than_two: tuple[str, ...]
    signs_of_more: frozenset[str]
    measured: Signs
    sexes: Mapping[str, str]
    transitive: Actions
    intransitive: Actions
    participles: Actions
    settings: tuple[Setting, ...]
    lifeless: frozenset[str]
    action_signs: Signs

    @cached_property
    def things(self) -> frozenset[str]:
        """Nouns known to name a thing, a ground or a place."""
        return self.scenes.union(self.nouns["count"])

    @cached_property
    def worn(self) -> frozenset[str]:
        """Nouns for garments."""
        return frozenset(
            noun
            for nouns in self.nouns.values()
            for noun, places in nouns.items()
            if any(p.group in WORN for p in places)
        )

    @cached_property
    def unit_starts(self) -> frozenset[str]:
        """First words of the listed units."""
        return frozenset(unit[0] for unit in self.units)

    @cached_property
    def put_in(self) -> frozenset[str]:
        """Countable nouns that are put in for others."""
        return frozenset(o for places in self.nouns["count"].values() for place in places for o in place.others)

    @cached_property
    def places(self) -> frozenset[str]:
        """Nouns of all settings."""
        return frozenset().union(*(setting.nouns for setting in self.settings))

    @cached_property
    def general(self) -> frozenset[str]:
        """Nouns that name no thing of their own: parts, measures, grounds and places."""
        return self.vague | self.measures | self.scenes

    def names_concept(self, noun: str) -> bool:
        """Whether a group of countable or plural nouns knows this noun."""
        return noun in self.nouns["count"]

    def value_of(self, word: str) -> Value | None:
        """The commonest value a word names, if it is an attribute."""
        values = self.attributes.get(word)
        return values[0] if values else None

    def is_of(self, dimension: str, word: str) -> bool:
        """Whether a word names a value of a dimension."""
        return any(value.dimension == dimension for value in self.attributes.get(word, ()))

    def number(self, word: str) -> int | None:
        """The number a counting word stands for; vague ones such as "couple" are no counts."""
        return next((n for n, words in self.counts.items() if word in words[:2]), None)


@lru_cache(maxsize=1)
def packaged_vocabulary() -> Vocabulary:
    """The vocabulary that comes with negmine."""
    packed = _read("nouns")
    nouns: Sections = packed
    attributes: Mapping[str, AttributeTable] = _read("attributes")
    relations: RelationTables = _read("relations")
    actions: ActionTables = _read("actions")
    words = _read("words")
    values, attribute_signs = _attributes(attributes)
    return Vocabulary(
        nouns={counted: _places(counted, nouns) for counted in COUNTED},
        kinds=_kinds(nouns),
        kind_of=_kind_of(nouns),
        kind_of_class=packed["kind_of_class"],
        noun_signs=_noun_signs(nouns),
        overlapping=_pairs(nouns, "related", "overlapping"),
        dimensions={name: _dimension(table) for name, table in attributes.items()},
        attributes=values,
        attribute_signs=attribute_signs,
        complex=_complex(relations["complex"]),
        contraries=_contraries(relations),
        near=_near(relations["near"]),
        symmetric=frozenset(relations["symmetric"]),
        symmetric_verbs=frozenset(relations["symmetric_verbs"]),
        reversible=_reversible(relations["reversible"]),
        reversible_places=frozenset(relations["reversible_places"]),
        exclusive_places=tuple((p["is"], p["becomes"], frozenset(p["subjects"])) for p in relations["place"]),
        units=frozenset(tuple(unit.split(" ")) for unit in [*words["units"], *_all_forms(nouns)] if " " in unit),
        measures=frozenset(words["measures"]),
        vague=frozenset(words["vague"]),
        scenes=frozenset(words["scenes"]),
        uncounted=frozenset(words["uncounted"]),
        several_people=frozenset(words["several_people"]["words"]),
        counts={int(number): tuple(forms) for number, forms in words["counts"].items()},
        function_words=frozenset(words["function_words"]),
        closed_class=frozenset(words["function_words"]) | frozenset(words["closed_class"]),
        foreign=frozenset(words["foreign"]),
        more_than_two=tuple(words["more_than_two"]["words"]),
        signs_of_more=frozenset(words["more_than_two"]["signs"]),
        measured=_measured(words["measured"], words["measured_alike"]["pairs"]),
        sexes={noun: sex for sex, nouns_of_sex in words["sex"].items() for noun in nouns_of_sex},
        transitive=_actions([{"subjects": ["person"], **table} for table in actions["transitive"]]),
        intransitive=_actions(actions["intransitive"]),
        participles=_participles(actions["participle"]),
        settings=tuple(map(_setting, _read("settings").values())),
        lifeless=frozenset(actions["lifeless"]),
        action_signs=_action_signs(actions),
    )


Sections = Mapping[str, Mapping[str, Sequence[str]]]
"""``nouns.toml``: section to group to concepts."""


class AttributeTable(TypedDict, total=False):
    """A dimension of ``attributes.toml``."""

    values: Required[Sequence[str]]
    near: Required[Sequence[str]]
    classes: Sequence[str]
    nouns: Sequence[str]
    not_nouns: Sequence[str]
    predicate: bool
    likely: Mapping[str, Sequence[str]]
    usual: Mapping[str, Sequence[str]]
    shades: Sequence[str]


ContraryTable = TypedDict("ContraryTable", {"from": Sequence[str], "to": Sequence[str], "objects": str})
PlaceTable = TypedDict("PlaceTable", {"is": str, "becomes": str, "subjects": Sequence[str]})


class RelationTables(TypedDict):
    """``relations.toml``."""

    complex: Sequence[str]
    near: Sequence[list[str]]
    symmetric: Sequence[str]
    symmetric_verbs: Sequence[str]
    reversible: Sequence[Mapping[str, list[str]]]
    reversible_places: Sequence[str]
    place: Sequence[PlaceTable]
    contrary: Sequence[ContraryTable]
    objects: Mapping[str, Sequence[str]]


class ActionTable(TypedDict, total=False):
    """A set of actions that exclude each other."""

    verbs: Required[Sequence[str]]
    subjects: Sequence[str]
    not_subjects: Sequence[str]
    objects: Sequence[str]
    after: Sequence[str]


ParticipleTable = TypedDict(
    "ParticipleTable",
    {
        "from": Required[Sequence[str]],
        "to": Required[Sequence[str]],
        "subjects": Sequence[str],
        "not_subjects": Sequence[str],
        "after": Sequence[str],
    },
    total=False,
)


class ActionTables(TypedDict):
    """``actions.toml``."""

    lifeless: Sequence[str]
    transitive: Sequence[ActionTable]
    intransitive: Sequence[ActionTable]
    participle: Sequence[ParticipleTable]


def _read(name: str) -> Any:  # files of ours, whose shapes the types above say
    return tomllib.loads(resources.files("negmine.language").joinpath("data", f"{name}.toml").read_text("utf-8"))


def _forms(concept: str) -> list[str]:
    return concept.lstrip("-").replace("+", "").split("|")


def _all_forms(nouns: Sections) -> list[str]:
    """Every form of every noun of every group."""
    groups = [group for counted in COUNTED for group in nouns[counted].values()]
    return [form for group in groups for concept in group for form in _forms(concept)]


def _used(concepts: Iterable[str]) -> list[str]:
    return [_forms(concept)[0] for concept in concepts if not concept.startswith("-")]


def _concepts(nouns: Sections) -> dict[str, frozenset[str]]:
    """Concept to all its forms, those of every group that names it."""
    found: dict[str, set[str]] = defaultdict(set)
    for counted in COUNTED:
        for group in nouns[counted].values():
            for concept in group:
                found[_forms(concept)[0]] |= set(_forms(concept))
    return {name: frozenset(forms) for name, forms in found.items()}


def _places(counted: str, nouns: Sections) -> dict[str, tuple[Place, ...]]:
    """Form to its places; concepts that overlap are no stand-ins for each other."""
    forms_of, put_in, overlapping = _concepts(nouns), _put_in(nouns), _pairs(nouns, "related", "overlapping")
    places: dict[str, list[Place]] = defaultdict(list)
    for group, concepts in nouns[counted].items():
        after, not_after = (frozenset(nouns[name].get(group, ())) for name in ("after", "not_after"))
        used = _used(concepts)
        for name in (_forms(concept)[0] for concept in concepts):
            clash = forms_of[name].union(*(overlapping.get(form, NONE) for form in forms_of[name]))
            put_in_here = (form for other in used if other not in clash for form in put_in[other])
            others = tuple(
                form
                for form in put_in_here
                if form not in clash and not any(includes(form, own) for own in forms_of[name])
            )
            for form in sorted(forms_of[name]):
                places[form].append(Place(group, name, others, after, not_after))
    return {form: tuple(found) for form, found in places.items()}


def _last_word(noun: str) -> str:
    return noun.rsplit(" ", 1)[-1]


def includes(one: str, other: str) -> bool:
    """Whether one noun, by its last word, names a thing that the other names too: "rocking chair" and "chair"."""
    longer, shorter = (one, other) if len(one) > len(other) else (other, one)
    return longer.endswith(" " + shorter) or (len(shorter) >= LEAST_SUFFIX and longer.endswith(shorter))


def _kinds(nouns: Sections) -> dict[str, tuple[str, ...]]:
    put_in, kind_of, found = _put_in(nouns), _kind_of(nouns), defaultdict[str, set[str]](set)
    for group, concepts in nouns["count"].items():
        if group not in nouns["after"]:
            for form in (form for concept in _used(concepts) for form in put_in[concept] if form in kind_of):
                found[kind_of[form]].add(form)
    return {kind: tuple(sorted(forms)) for kind, forms in found.items()}


def _kind_of(nouns: Sections) -> dict[str, str]:
    """Form to the kind of the first group that has one: a basket is a vessel before it is carried."""
    kinds = {group: kind for kind, groups in nouns["kinds"].items() for group in groups}
    found: dict[str, str] = {}
    for group, concepts in nouns["count"].items():
        for form in (form for concept in concepts for form in _forms(concept) if group in kinds):
            found.setdefault(form, kinds[group])
    return found


def _put_in(nouns: Sections) -> dict[str, tuple[str, ...]]:
    """Concept to the forms that are put in: its first, and those marked by a "+" in any group."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for concept in (concept for counted in COUNTED for group in nouns[counted].values() for concept in group):
        first, *others = concept.lstrip("-").split("|")
        found[first] |= dict.fromkeys([first, *(form[1:] for form in others if form.startswith("+"))])
    return {name: tuple(forms) for name, forms in found.items()}


def _pairs(nouns: Sections, *sections: str) -> dict[str, frozenset[str]]:
    """Noun to those it is paired with in sections of the data file, widened to all forms of their concepts."""
    forms_of = _concepts(nouns)
    found: dict[str, set[str]] = defaultdict(set)
    for pair in (pair for section in sections for pair in nouns[section]["pairs"]):
        one, other = (noun.replace("_", " ") for noun in pair.split(" "))
        for left, right in ((one, other), (other, one)):
            for form in forms_of.get(left, {left}):
                found[form] |= forms_of.get(right, frozenset({right}))
    return {form: frozenset(others) for form, others in found.items()}


def _noun_signs(nouns: Sections) -> dict[str, frozenset[str]]:
    """Form to all forms of its concepts and of those related to them, and the places where it usually is."""
    related = _pairs(nouns, "related")
    forms_of, signs = _concepts(nouns), defaultdict[str, set[str]](set)
    for forms in forms_of.values():
        for form in forms:
            signs[form] |= forms.union(*(related.get(other, NONE) for other in forms))
    for place, things in nouns["usual"].items():
        name = place.replace("_", " ")
        for thing in things:
            for form in forms_of.get(thing, frozenset({thing})):
                signs[form] |= forms_of.get(name, frozenset({name}))
    return {form: frozenset(found) for form, found in signs.items()}


def _setting(table: Mapping[str, Sequence[str]]) -> Setting:
    places = tuple((preposition, noun) for preposition in ("in", "on") for noun in table.get(preposition, ()))
    return Setting(places, frozenset(noun for _, noun in places), frozenset(table["signs"]))


def _dimension(table: AttributeTable) -> Dimension:
    return Dimension(
        classes=frozenset(table.get("classes", ())),
        nouns=frozenset(table.get("nouns", ())),
        not_nouns=frozenset(table.get("not_nouns", ())),
        predicate=table.get("predicate", False),
        likely={name: frozenset(words) for name, words in table.get("likely", {}).items()},
        usual={name: frozenset(words) for name, words in table.get("usual", {}).items()},
        shades=frozenset(table.get("shades", ())),
    )


def _attributes(tables: Mapping[str, AttributeTable]) -> tuple[dict[str, tuple[Value, ...]], dict[str, frozenset[str]]]:
    values: dict[str, list[Value]] = defaultdict(list)
    signs: dict[str, set[str]] = defaultdict(set)
    for dimension, table in tables.items():
        near: dict[str, set[str]] = defaultdict(set)
        for one, other in (pair.split() for pair in table["near"]):
            near[one].add(other)
            near[other].add(one)
        all_forms = {_forms(value)[0]: _forms(value) for value in table["values"]}
        for name, forms in all_forms.items():
            others = tuple(o for o in _used(table["values"]) if o != name and o not in near[name])
            signs[name] |= set(forms).union(*(all_forms[n] for n in near[name]))
            for form in forms:
                values[form].append(Value(dimension, name, others))
    frozen = {name: frozenset(found) for name, found in signs.items()}
    return {form: tuple(found) for form, found in values.items()}, frozen


def _complex(prepositions: Iterable[str]) -> dict[str, tuple[tuple[str, ...], ...]]:
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for words in sorted((tuple(p.split()) for p in prepositions), key=lambda p: (-len(p), p)):
        found[words[0]].append(words)
    return {first: tuple(several) for first, several in found.items()}


def _contraries(relations: RelationTables) -> dict[str, tuple[Contrary, ...]]:
    found: dict[str, list[Contrary]] = defaultdict(list)
    for table in relations["contrary"]:
        objects = frozenset(relations["objects"][table["objects"]]) if table["objects"] else NONE
        for preposition in table["from"]:
            found[preposition].append(Contrary(tuple(table["to"]), objects))
    return {preposition: tuple(contraries) for preposition, contraries in found.items()}


def _reversible(tables: Iterable[Mapping[str, list[str]]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for table in tables:
        for verb in table["verbs"]:
            found[verb] |= set(table["of"])
    return {verb: frozenset(classes) for verb, classes in found.items()}


def _measured(sets: Mapping[str, list[str]], alike: Iterable[str]) -> dict[str, frozenset[str]]:
    same = {frozenset(pair.split(" ")) for pair in alike}
    others = {
        name: frozenset(
            o for other, words in sets.items() if other != name and {name, other} not in same for o in words
        )
        for name in sets
    }
    return {word: others[name] for name, words in sets.items() for word in words}


def _near(classes: Iterable[list[str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for members in classes:
        for member in members:
            found[member] |= set(members)
    return {member: frozenset(others) for member, others in found.items()}


def _actions(tables: Iterable[ActionTable]) -> dict[str, tuple[Action, ...]]:
    found: dict[str, list[Action]] = defaultdict(list)
    for table in tables:
        conditions = (
            frozenset(table.get("subjects", ())),
            frozenset(table.get("not_subjects", ())),
            frozenset(table.get("objects", ())),
            frozenset(table.get("after", ())),
        )
        for action in table["verbs"]:
            forms = _forms(action)
            others = tuple(other for other in _used(table["verbs"]) if other != forms[0])
            for form in forms:
                found[form].append(Action(forms[0], others, *conditions))
    return {form: tuple(places) for form, places in found.items()}


def _participles(tables: Iterable[ParticipleTable]) -> dict[str, tuple[Action, ...]]:
    found: dict[str, tuple[Action, ...]] = {}
    for table in tables:
        subjects, not_subjects = frozenset(table.get("subjects", ())), frozenset(table.get("not_subjects", ()))
        after = frozenset(table.get("after", ()))
        for form in table["from"]:
            found[form] = (Action(form, tuple(table["to"]), subjects, not_subjects, after=after),)
    return found


def _action_signs(actions: ActionTables) -> dict[str, frozenset[str]]:
    """Every form of an action in any of its sets; a participle put in is a sign of itself."""
    signs: dict[str, set[str]] = defaultdict(set)
    for table in (*actions["transitive"], *actions["intransitive"]):
        for action in table["verbs"]:
            signs[_forms(action)[0]] |= set(_forms(action))
    for form in (form for participles in actions["participle"] for form in participles["to"]):
        signs[form] |= {form}
    return {name: frozenset(forms) for name, forms in signs.items()}
