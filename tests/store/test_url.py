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
        ("ws://", "name of the server is missing"),
        ("ws://:8000", "name of the server is missing"),
        ("ws://local host:8000", "blanks"),
        ("ws://localhost:80000", "cannot be read"),
        ("ws://localhost:port", "cannot be read"),
        ("ws://[::1", "cannot be read"),
        ("ws://localhost:8000/sql", "ends in /rpc, not to '/sql'"),
        ("https://db.example/rpc?ns=a", "no options"),
        ("https://db.example/rpc#a", "no options"),
        ("http://localhost:8000?", "no options"),
    ],
)
def test_what_is_no_address_of_ours(url: str, why: str) -> None:
    with pytest.raises(InvalidStoreUrl, match=why.replace("?", r"\?")) as caught:
        open_store(url)
    assert "surrealkv://path/to/directory" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("ws://localhost:8000", "ws://localhost:8000/rpc"),
        ("ws://localhost:8000/", "ws://localhost:8000/rpc"),
        ("wss://db.example/rpc", "wss://db.example/rpc"),
        ("http://127.0.0.1:8000/rpc/", "http://127.0.0.1:8000/rpc"),
        ("https://db.example/behind/a/proxy/rpc", "https://db.example/behind/a/proxy/rpc"),
        ("ws://[::1]:8000", "ws://[::1]:8000/rpc"),
    ],
)
def test_a_server(url: str, endpoint: str) -> None:
    address = parse_url(url)

    assert (address.url, address.endpoint, address.engine_url) == (url, endpoint, endpoint)
    assert (address.path, address.is_in_memory) == (None, False)


@pytest.mark.parametrize(
    "url",
    [
        "wss://root:secret@db.example/rpc",
        "ws://root:p@ss/secret@db.example",
        "http://secret@db.example?x=1",
        "surreal://root:secret@db.example",
        "root:secret@db.example:8000",
    ],
)
def test_credentials_have_no_place_in_an_address_and_are_not_repeated(url: str) -> None:
    with pytest.raises(InvalidStoreUrl) as caught:
        open_store(url)

    assert "secret" not in str(caught.value)
    assert "secret" not in caught.value.url
    if url.startswith(("ws", "http")):
        assert "SurrealStore(url, username=..., password=...)" in str(caught.value)


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
