"""A directory over HTTP: what is in it and nothing else, to browsers of this machine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.agents import LocalSandbox
from sentient_core.agents.confined import ConfinedDirectory
from sentient_core.agents.serving import Asked, DirectoryServer, asked_of, media_type
from tests.agents.http import exchange, get, port_of

FILES = {
    "index.html": "<p>index",
    "a b/ü.html": "<p>named",
    "a b/index.html": "<p>folder",
    "bare/x.css": "p {}",
    "data": b"\0\1",
}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """The address of a server."""
    (tmp_path / "secret.txt").write_text("secret")
    async with LocalSandbox(tmp_path / "site") as sandbox:
        answer = await sandbox.run_async({"files": FILES, "commands": ["serve"]})
        yield answer["url"]


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/", "<p>index"),
        ("/index.html", "<p>index"),
        ("/?q=/../x", "<p>index"),
        ("/a%20b/%C3%BC.html", "<p>named"),
        ("/a%20b/", "<p>folder"),
        ("/%61%20b/", "<p>folder"),
        ("/bare/x.css?v=1", "p {}"),
    ],
)
async def test_what_is_there_is_served(url: str, target: str, body: str) -> None:
    answer = await get(url, target)

    assert (answer.status, answer.body.decode()) == (200, body)
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/bare/",  # a folder without index.html is not listed
        "/index.html/",
        "/index.html/x",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2E%2E%2Fsecret.txt",
        "/a%20b/../../secret.txt",
        "/..%5csecret.txt",
        "//etc/passwd",
        "/%2Fetc/passwd",
        "/.",
        "/./index.html",
        "//index.html",
        "/index.html%00",
        "/%ff",
        "/%ed%a0%80",
        "/.sandbox-x",
        "/" + "a" * 300,
        "*",
        "http://127.0.0.1/index.html",
    ],
)
async def test_what_is_not_there_or_leads_out_is_not_found(url: str, target: str) -> None:
    answer = await get(url, target)

    assert answer.status == 404
    assert answer.body == b"404 Not Found\n"


async def test_a_folder_without_its_slash_leads_to_the_one_with_it(url: str) -> None:
    answer = await get(url, "/a%20b")

    assert (answer.status, answer.headers["location"]) == (308, "/a%20b/")


async def test_a_head_is_an_answer_without_its_body(url: str) -> None:
    there = await get(url, "/", method="HEAD")
    missing = await get(url, "/x", method="HEAD")

    assert (there.status, there.headers["content-length"], there.body) == (200, "8", b"")
    assert (missing.status, missing.body) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nobody_can_do_anything_but_read(url: str, method: str) -> None:
    answer = await get(url, "/", method=method)

    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("host", ["elsewhere.example", "elsewhere.example:80", "127.0.0.1", "127.0.0.1:1"])
async def test_who_means_another_host_is_refused(url: str, host: str) -> None:
    assert (await get(url, "/", host=host)).status == 421


async def test_the_host_may_be_written_as_localhost(url: str) -> None:
    assert (await get(url, "/", host=f"LOCALHOST:{port_of(url)}")).status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # without a host
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"400"),  # TLS
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000, b"431"),
    ],
)
async def test_what_is_no_request_is_refused(url: str, request_: bytes, status: bytes) -> None:
    assert (await exchange(port_of(url), request_)).startswith(b"HTTP/1.1 " + status)

    assert (await get(url, "/")).status == 200


async def test_who_goes_away_disturbs_nobody(url: str, tmp_path: Path) -> None:
    (tmp_path / "site" / "large").write_bytes(os.urandom(8 * 2**20))
    for request in (b"", b"GET", f"GET /large HTTP/1.1\r\nHost: 127.0.0.1:{port_of(url)}\r\n\r\n".encode()):
        async with await anyio.connect_tcp("127.0.0.1", port_of(url)) as stream:
            if request:
                await stream.send(request)

    assert (await get(url, "/")).status == 200


async def test_a_large_file_comes_whole(url: str, tmp_path: Path) -> None:
    content = os.urandom(3 * 2**20 + 1)
    (tmp_path / "site" / "large.bin").write_bytes(content)

    assert (await get(url, "/large.bin")).body == content


async def test_what_is_no_regular_file_is_not_there(url: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "site" / "pipe")
    (tmp_path / "site" / "link").symlink_to(tmp_path / "secret.txt")

    assert [(await get(url, target)).status for target in ("/pipe", "/link")] == [404, 404]


async def test_many_ask_at_once(url: str) -> None:
    answers: list[int] = []

    async def ask() -> None:
        answers.append((await get(url, "/")).status)

    async with anyio.create_task_group() as tasks:
        for _ in range(150):
            tasks.start_soon(ask)

    assert answers == [200] * 150


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("a.b.CSS", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.woff2", "font/woff2"),
        ("data", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
    ],
)
def test_a_file_is_said_to_be_what_its_ending_says(name: str, kind: str) -> None:
    assert media_type(name) == kind


@given(
    st.lists(
        st.sampled_from([b"/", b".", b"..", b"%2e", b"%2f", b"%5c", b"%00", b"a", b"?", b"%"]), max_size=10
    )
)
def test_no_target_names_anything_above(pieces: list[bytes]) -> None:
    asked = asked_of(b"".join(pieces))

    if asked is not None:
        assert not {"", ".", ".."} & set(asked.parts)
        assert not any(character in part for part in asked.parts for character in "/\\\0")


def test_a_target_is_decoded_once() -> None:
    assert asked_of(b"/%2561/") == Asked(("%61",), is_folder=True)


def test_at_the_usual_port_browsers_leave_it_out(tmp_path: Path) -> None:
    directory = ConfinedDirectory(tmp_path)
    try:
        assert DirectoryServer(directory, 80).is_mine(b"localhost")
        assert DirectoryServer(directory, 80).is_mine(b"127.0.0.1:80")
        assert not DirectoryServer(directory, 8080).is_mine(b"localhost")
        assert not DirectoryServer(directory, 80).is_mine(b"localhost.example")
    finally:
        directory.close()
