"""Derive the lexicon's table from a WordNet 3.0 database through NLTK. Used when building and for ``--wordnet DIR``."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from negmine.base.errors import UsageError
from negmine.language.lexicon import ADJECTIVE, NOUN, VERB, Lexicon

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import Synset, WordNetCorpusReader

HYPERNYM_DEPTH: Final = 4
SENSES: Final = 3
"""Senses kept of a word: the commonest ones, and of these only such as WordNet's tagged texts use."""

INVISIBLE: Final = frozenset(
    {"noun.cognition", "noun.feeling", "noun.motive", "noun.motion", "noun.possession", "noun.relation"}
)
"""Classes of which no sense is kept: an image does not show them."""

TANGIBLE: Final = frozenset({"noun.animal", "noun.artifact", "noun.body", "noun.food", "noun.object", "noun.person"})
"""Classes of which a word is kept even if WordNet's tagged texts never use it."""

_LEXNAMES: Final = (
    "adj.all",
    "adj.pert",
    "adv.all",
    "noun.Tops",
    "noun.act",
    "noun.animal",
    "noun.artifact",
    "noun.attribute",
    "noun.body",
    "noun.cognition",
    "noun.communication",
    "noun.event",
    "noun.feeling",
    "noun.food",
    "noun.group",
    "noun.location",
    "noun.motive",
    "noun.object",
    "noun.person",
    "noun.phenomenon",
    "noun.plant",
    "noun.possession",
    "noun.process",
    "noun.quantity",
    "noun.relation",
    "noun.shape",
    "noun.state",
    "noun.substance",
    "noun.time",
    "verb.body",
    "verb.change",
    "verb.cognition",
    "verb.communication",
    "verb.competition",
    "verb.consumption",
    "verb.contact",
    "verb.creation",
    "verb.emotion",
    "verb.motion",
    "verb.perception",
    "verb.possession",
    "verb.social",
    "verb.stative",
    "verb.weather",
    "adj.ppl",
)
"""WordNet's lexicographer files by number (lexnames(5WN)); some distributions leave the list out."""


def lexicon_from_wordnet(directory: str | Path) -> Lexicon:
    """The lexicon of a WordNet 3.0 database.

    Args:
        directory: an NLTK data folder (with ``corpora/wordnet`` or ``corpora/wordnet.zip`` in it), or the folder that
            holds ``data.noun`` itself.

    Raises:
        UsageError: there is no WordNet in the folder.
    """
    return Lexicon(wordnet_rows(directory))


def wordnet_rows(directory: str | Path) -> list[str]:
    """Rows of the lexicon's table, sorted; see `lexicon_from_wordnet`."""
    with tempfile.TemporaryDirectory() as scratch, _trusted(scratch):
        home = _copy(Path(directory), Path(scratch))
        reader, uses = _open(home), _uses(home)
        rows = [row for pos in (ADJECTIVE, NOUN, VERB) for row in _rows_of(reader, pos, uses)]
    return sorted(rows)


@contextmanager
def _trusted(folder: str) -> Iterator[None]:
    """NLTK reads only below the folders of its data path; for a while ours is one of them."""
    import nltk.data

    nltk.data.path.append(folder)
    try:
        yield
    finally:
        nltk.data.path.remove(folder)


def _open(home: Path) -> WordNetCorpusReader:
    """NLTK's reader on a database."""
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class Reader(WordNetCorpusReader):  # type: ignore[misc]
        def map_wn(self, *_: object) -> dict[object, object]:
            return {}  # needs the multilingual data, which is of no use here

    return Reader(str(home), _NoOtherLanguage())


def _copy(directory: Path, scratch: Path) -> Path:
    """A copy of the database, with the list of lexicographer files added where it is missing."""
    source = _find(directory, scratch)
    home = scratch / "wordnet"
    home.mkdir()
    for path in source.iterdir():
        if path.is_file():
            shutil.copyfile(path, home / path.name)
    if not (home / "lexnames").exists():
        lines = (f"{number:02d}\t{name}\t0\n" for number, name in enumerate(_LEXNAMES))
        (home / "lexnames").write_text("".join(lines), encoding="ascii")
    return home


def _uses(home: Path) -> dict[str, int]:
    """Sense key to how often WordNet's tagged texts use the sense, where they do (senseidx(5WN))."""
    with (home / "index.sense").open(encoding="utf-8") as lines:
        fields = (line.split() for line in lines)
        return {key: int(uses) for key, _, _, uses in fields if uses != "0"}


class _NoOtherLanguage:
    """Stands where NLTK's reader expects the multilingual WordNet."""

    def fileids(self) -> list[str]:
        return []


def _find(directory: Path, scratch: Path) -> Path:
    for folder in (directory, directory / "corpora" / "wordnet", directory / "wordnet"):
        if (folder / "data.noun").is_file() and (folder / "index.sense").is_file():
            return folder
    for archive in (directory / "corpora" / "wordnet.zip", directory / "wordnet.zip"):
        if archive.is_file():
            return _unpack(archive, scratch / "unpacked")
    raise UsageError(
        "there is no WordNet in this folder",
        where=str(directory),
        why="neither data.noun and index.sense, nor corpora/wordnet, nor corpora/wordnet.zip",
        fix="give your NLTK data folder, or leave --wordnet out to use the table that comes with negmine",
    )


def _unpack(archive: Path, target: Path) -> Path:
    target.mkdir()
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            if not member.is_dir():
                with packed.open(member) as stream, (target / Path(member.filename).name).open("wb") as copy:
                    shutil.copyfileobj(stream, copy)
    return target


def _rows_of(reader: WordNetCorpusReader, pos: str, uses: Mapping[str, int]) -> Iterator[str]:
    for word in sorted(reader.all_lemma_names(pos=pos)):
        if not word.replace("_", "").replace("-", "").isalpha() or word.count("_") > 2:
            continue
        senses = _senses(reader, word, pos, uses)
        if senses:
            yield _row(word, senses, pos)


def _senses(reader: WordNetCorpusReader, word: str, pos: str, uses: Mapping[str, int]) -> list[Synset]:
    """The senses worth keeping: the first if it is of a visible class or used, and the other used ones up to three."""
    senses = reader.synsets(word, pos=pos)[:SENSES]
    used = [s for s in senses if any(name.key() in uses for name in s.lemmas() if name.name().lower() == word)]
    if pos == NOUN and not used and senses and senses[0].lexname() in TANGIBLE and "_" not in word:
        used = senses[:1]
    return [s for s in used if s.lexname() not in INVISIBLE]


def _row(word: str, senses: list[Synset], pos: str) -> str:
    names = [name for sense in senses for name in sense.lemmas()]
    synonyms = {_plain(name.name()) for name in names} - {_plain(word)}
    antonyms = {_plain(opposite.name()) for name in names for opposite in name.antonyms()}
    classes = dict.fromkeys(sense.lexname().split(".")[1] for sense in senses)
    lists = (synonyms, antonyms, _hypernyms(senses))
    return "\t".join([pos, _plain(word), "|".join(classes), *("|".join(sorted(found)) for found in lists)])


def _hypernyms(senses: list[Synset]) -> set[str]:
    level, found = senses, set[str]()
    for _ in range(HYPERNYM_DEPTH):
        level = [above for sense in level for above in sense.hypernyms()]
        found |= {_plain(name.name()) for sense in level for name in sense.lemmas()}
    return found


def _plain(name: str) -> str:
    return name.replace("_", " ").lower()
