"""Addresses are understood or refused at the call that brings them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentient_core.errors import InvalidStoreUrl, StorePathUnusable
from sentient_core.store import open_store
from sentient_core.store.url import parse_url


def test_in_memory() -> None:
    address = parse_url("mem://")

    assert (address.path, address.engine_url) == (None, "mem://")


@pytest.mark.parametrize(
    ("url", "engine_url"),
    [
        ("surrealkv:///var/lib/bank.db", "surrealkv:///var/lib/bank.db"),
        ("surrealkv://bank.db", "surrealkv://{cwd}/bank.db"),
        ("surrealkv://data/b nk%41ü#1", "surrealkv://{cwd}/data/b nk%41ü#1"),
        ("surrealkv:///x?sync=every", "surrealkv:///x"),
        ("surrealkv:///x?sync=never", "surrealkv:///x?sync=never"),
        ("surrealkv:///x?sync=250ms", "surrealkv:///x?sync=250ms"),
    ],
)
def test_on_disk(url: str, engine_url: str) -> None:
    assert parse_url(url).engine_url == engine_url.format(cwd=Path.cwd())
    assert parse_url(url).url == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("bank.db", "no scheme"),
        ("", "no scheme"),
        ("bogus:///x", "unknown scheme 'bogus'"),
        ("file:///x", "surrealkv://"),
        ("mem://x", "neither path nor options"),
        ("memory", "no scheme"),
        ("surrealkv://", "directory is missing"),
        ("surrealkv:///", "directory is missing"),
        ("surrealkv://?sync=1s", "directory is missing"),
        ("surrealkv:///x?sync=sometimes", "sync=sometimes"),
        ("surrealkv:///x?sync=0s", "sync=0s"),
        ("surrealkv:///x?sync=", "sync="),
        ("surrealkv:///x?sync=1s&a=b", "neither"),
        ("surrealkv:///x?", "unknown option ''"),
        ("surrealkv:///x?versioned=true", "unknown option 'versioned'"),
        ("surrealkv:///x\0y", "null character"),
        ("ws://localhost:8000/rpc", "come later"),
        ("wss://db.example/rpc", "come later"),
        ("http://localhost:8000", "come later"),
        ("https://db.example", "come later"),
    ],
)
def test_what_is_no_address_of_ours(url: str, why: str) -> None:
    with pytest.raises(InvalidStoreUrl, match=why.replace("?", r"\?")) as caught:
        open_store(url)
    assert "surrealkv://path/to/directory" in str(caught.value)


def test_credentials_are_not_repeated() -> None:
    with pytest.raises(InvalidStoreUrl) as caught:
        open_store("wss://root:secret@db.example/rpc")

    assert "secret" not in str(caught.value)
    assert "secret" not in caught.value.url


def test_the_directory_is_made(tmp_path: Path) -> None:
    parse_url(f"surrealkv://{tmp_path}/a/b").prepare()

    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    for path in ("file", "file/db"):
        with pytest.raises(StorePathUnusable, match="file in the way") as caught:
            parse_url(f"surrealkv://{tmp_path}/{path}").prepare()
        assert caught.value.path == f"{tmp_path}/{path}"


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")

    with pytest.raises(StorePathUnusable, match="something else"):
        parse_url(f"surrealkv://{tmp_path}").prepare()


def test_a_directory_that_cannot_be_made() -> None:
    with pytest.raises(StorePathUnusable):
        parse_url("surrealkv:///proc/nope/db").prepare()
