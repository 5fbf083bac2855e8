"""One place, however it is spelled; names before patterns; nothing secret stored or shown."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st
from negmine.base.addresses import MIRROR, address_of, is_address, readable, without_query
from negmine.base.errors import UsageError
from negmine.store.folder import file_place, place
from negmine.store.places import address, image_root, local, matches, named, on_disk, option, pattern, source


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``tree/a/b``, the working folder ``tree/a``, the home ``tree``, and a link in ``tree/a`` to ``tree/far/deep``."""
    for folder in ("a/b", "far/deep"):
        (tmp_path / "tree" / folder).mkdir(parents=True)
    (tmp_path / "tree" / "a" / "link").symlink_to(tmp_path / "tree" / "far" / "deep")
    monkeypatch.chdir(tmp_path / "tree" / "a")
    monkeypatch.setenv("HOME", str(tmp_path / "tree"))
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("b", "a/b"),
        ("./b", "a/b"),
        ("b/", "a/b"),
        ("b//", "a/b"),
        (".//b/.", "a/b"),
        ("../a/b", "a/b"),
        ("b/../b", "a/b"),
        ("..", "."),
        ("../", "."),
        (".", "a"),
        ("~", "."),
        ("~/a/b", "a/b"),
        ("new/../b", "a/b"),
        ("link", "far/deep"),
        ("link/..", "far"),
        ("link/../deep", "far/deep"),
        ("../far/../a", "a"),
    ],
)
def test_spellings_of_a_folder(here: Path, spelled: str, meant: str) -> None:
    """Through a link ``..`` leads where the system says, not where the text does."""
    for given_ in (spelled, f"file://{spelled}") if not spelled.startswith("~") else (spelled,):
        for read in (local, place, on_disk, lambda text: Path(source(text)), lambda text: Path(image_root(text))):
            assert read(given_).resolve() == (here / meant).resolve(), given_
    assert source(spelled) == source(str(here / "a" / spelled) if not spelled.startswith("~") else spelled)


@pytest.mark.parametrize("name", ["~", "~nobody", "a b", "%20", "a?b", "s3:", "file:x", "negmine-mirror-x", "-x"])
def test_odd_names_are_themselves(here: Path, name: str) -> None:
    (here / name).mkdir()
    assert place(f"{here}/{name}") == here / name
    assert place(f"file://{here}/{name}/") == here / name


@pytest.mark.parametrize("text", ["", "file://"])
def test_an_empty_path_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        place(text)


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match="no UTF-8"):
        local(os.fsdecode(b"caf\xe9"))


def test_names_and_paths_in_one_option(here: Path) -> None:
    assert [named(text) for text in ("openai", "./swaps", "a//b")] == ["openai", "./swaps", "a//b"]
    assert named("../x.yaml") == str(here / "x.yaml") == named("~/x.yaml") == named(f"file://{here}/x.yaml")
    assert named("local-dir:b", "local-dir:") == f"local-dir:{here}/a/b" == named("local-dir:../a/b", "local-dir:")


@pytest.mark.parametrize("text", ["s3://bucket", "s3://bucket/", "s3://bucket/work/", "s3://", "memory://bucket/.."])
def test_an_address_of_a_file_names_one(text: str) -> None:
    with pytest.raises(UsageError, match=r"names no file(.|\n)*BUCKET"):
        file_place(text)


def test_a_image_root_is_one_place_for_later_commands(here: Path) -> None:
    assert image_root("link") == str(here / "far" / "deep")
    for missing in ("absent", "../a/absent"):
        with pytest.raises(UsageError, match="no such folder of images"):
            image_root(missing)
    Path("file.jpg").touch()
    with pytest.raises(UsageError, match="this is no folder"):
        image_root("file.jpg")
    with pytest.raises(UsageError, match="query"):
        image_root("https://host/photos?token=abcdefgh")


# --- patterns --------------------------------------------------------------------------------------------------------


def _found(*names: str, of: str) -> list[str]:
    folder = Path.cwd()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [one.removeprefix(f"{folder}/") for one in matches(LocalFileSystem(), f"{folder}/{of}")]


@pytest.mark.parametrize(
    ("names", "of", "found"),
    [
        (["d{a,b}/x.tar", "da/x.tar", "db/x.tar"], "d{a,b}/x.tar", ["d{a,b}/x.tar"]),
        (["da/x.tar", "db/x.tar"], "d{a,b}/x.tar", ["da/x.tar", "db/x.tar"]),
        (["db/x.tar", "da/x.tar"], "d{b,a}/*.tar", ["db/x.tar", "da/x.tar"]),
        (["d{1..3}/x.tar"], "d{1..3}/*.tar", ["d{1..3}/x.tar"]),
        (["d{/x.tar", "d{/y.tar"], "d{/*.tar", ["d{/x.tar", "d{/y.tar"]),
        (["d::x/x.tar"], "d::x/*.tar", ["d::x/x.tar"]),
        (["v[1]/x.tar", "v1/y.tar"], "v[1]/*.tar", ["v[1]/x.tar"]),
        (["v1/y.tar"], "v[1]/*.tar", ["v1/y.tar"]),
        (["a*/x", "ab/x"], "a*/x", ["a*/x"]),
        (["p/v[1]/x", "q/v[1]/x"], "{p,q}/v[1]/*", ["p/v[1]/x", "q/v[1]/x"]),
        (["a/b/c.tar", "a/c.tar"], "a/**/*.tar", ["a/b/c.tar", "a/c.tar"]),
    ],
)
def test_names_are_meant_before_patterns(
    names: list[str], of: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _found(*names, of=of) == found


@pytest.mark.parametrize("of", ["*.csv", "{x,absent}.tar", "{x.tar,*.csv}", "absent", "absent{"])
def test_what_matches_nothing_is_named(of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there is no such file"):
        _found("x.tar", of=of)


@given(st.text(st.sampled_from("ab*?[]{},.-!~% "), min_size=1, max_size=8).filter(lambda name: name.strip(".")))
def test_an_existing_file_is_itself_whatever_its_name(name: str) -> None:
    class Files:
        def exists(self, path: str) -> bool:
            return f"/d/{name}/{name}".startswith(path)

    assert matches(Files(), f"/d/{name}/{name}") == [f"/d/{name}/{name}"]


@given(st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=8))
def test_a_shell_reads_the_place_that_was_meant(name: str) -> None:
    assert shlex.split(option(name)) == [f"./{name}" if name.startswith("-") else name]


def test_a_real_shell(tmp_path: Path) -> None:
    name = "-a; $(id) 'b' `c`"
    done = subprocess.run(["sh", "-c", f"mkdir {option(name)}"], cwd=tmp_path, check=True)
    assert done.returncode == 0 and [path.name for path in tmp_path.iterdir()] == [name]


# --- addresses and secrets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "s3://KEYKEYKEY:secretsecret@bkt/x",
        "s3://KEYKEYKEY:sec/ret@bkt/x",
        "https://user:secretsecret@host/x",
        "https://secretsecret@host/x",
        "simplecache::https://u:secretsecret@host/x",
        "sftp://me:secretsecret@host/x",
    ],
)
@pytest.mark.parametrize("read", [address, source, pattern, place, image_root])
def test_credentials_are_refused_and_not_repeated(text: str, read: object) -> None:
    with pytest.raises(UsageError, match="holds no credentials") as refused:
        read(text)  # type: ignore[operator]
    assert "secret" not in str(refused.value) and "KEY" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "s3://bkt/a@b/c:d",
        "http://127.0.0.1:8080/x",
        "http://[::1]:80/x",
        "sftp://me@host/x",
        "hf://datasets/a/b@main/c",
    ],
)
def test_addresses_without_credentials_stay(text: str) -> None:
    assert address(text) == text == source(text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("s3://b/x", True),
        ("simplecache::s3://b/x", True),
        ("a/b://c", False),
        ("/x/s3://y", False),
        ("file:///x", False),
        ("local:///x", False),
        ("d::x/y", False),
        ("{a,b}://x", False),
        ("C://x", True),
    ],
)
def test_what_is_an_address(text: str, is_one: bool) -> None:
    assert is_address(text) is is_one


def test_homes_of_addresses_are_told_from_names_that_people_give() -> None:
    token = "0123456789abcdef" * 2
    assert address_of(Path(f"/tmp/{MIRROR}{token}/s3/bkt/d?t")) == "s3://bkt/d?t"
    assert readable(f"in /tmp/{MIRROR}{token}/s3/bkt/w, part") == "in s3://bkt/w, part"
    for name in ("x", "ab12cd_f", token[:-1], f"{token}0", token.upper()):
        path = f"/data/{MIRROR}{name}/s3/bkt/w"
        assert address_of(Path(path)) is None and readable(path) == path


def test_queries_and_signatures() -> None:
    assert without_query("https://host/c.jsonl?X-Amz-Signature=abc") == "https://host/c.jsonl"
    assert without_query("s3://bkt/d?t") == "s3://bkt/d?t"
    assert readable("see https://host/c.jsonl?a=1&token=xyz row 3") == "see https://host/c.jsonl?*** row 3"
    assert readable("s3://bkt/d?t and s3://bkt/e?token=xyz&n=1") == "s3://bkt/d?t and s3://bkt/e?token=***&n=1"
    assert readable("https://me:pw@host/x") == "https://***@host/x"
    assert readable("/data/a?token=b") == "/data/a?token=b"


def test_only_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "relative").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "PASSWORD_STORE_DIR": "/data/passwords",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json"),
        "HF_TOKEN_PATH": "somewhere/else",
        "KEYBOARD_LAYOUT": "workshop",
        "MY_API_KEY": "relative",
        "TOKENIZERS_PARALLELISM": "disabled",
        "HF_TOKEN": "hf_abcdefgh",
        "AWS_SECRET_ACCESS_KEY": "wJalr/K7MDENG/bPx",
        "AWS_ACCESS_KEY_ID": "AKIAABCDEFGH",
        "DB_PASSWORD": "hunter2hunter2",
    }.items():
        monkeypatch.setenv(name, value)
    paths = f"/data/passwords {tmp_path}/key.json somewhere/else workshop relative disabled"
    assert readable(paths) == paths
    assert readable("hf_abcdefgh wJalr/K7MDENG/bPx AKIAABCDEFGH hunter2hunter2") == "*** *** *** ***"
