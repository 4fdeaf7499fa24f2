"""A sandbox takes files, serves them on loopback until it is closed, and refuses what it must."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketListener

from sentient_core import (
    InvalidArgument,
    InvalidSandboxRequest,
    SandboxClosed,
    SandboxError,
    SandboxFileTooLarge,
    SandboxMissing,
    SandboxPathRefused,
    SandboxUnusable,
    UnknownSandboxCommand,
)
from sentient_core.agents import LocalSandbox, SandboxTool
from tests.agents.browser import opened
from tests.agents.http import get, port_of

SERVE = ["serve"]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[LocalSandbox]:
    async with LocalSandbox(tmp_path / "site", file_bytes=1_000) as sandbox:
        yield sandbox


async def served(sandbox: LocalSandbox, **files: str | bytes) -> str:
    """Files by name, without their ending."""
    answer = await sandbox.run_async(
        {"files": {f"{name}.html": text for name, text in files.items()}, "commands": SERVE}
    )
    url: str = answer["url"]
    return url


async def test_files_are_written_and_served(sandbox: LocalSandbox) -> None:
    answer = await sandbox.run_async(
        {"files": {"index.html": "<p>grün", "css/a.css": b"p {}"}, "commands": SERVE}
    )

    assert answer["url"] == sandbox.url
    assert answer["url"].startswith("http://127.0.0.1:")
    assert answer["files"] == ["css/a.css", "index.html"]
    assert (Path(answer["directory"]) / "index.html").read_text("utf-8") == "<p>grün"
    assert (await get(answer["url"], "/")).body == "<p>grün".encode()
    assert (await get(answer["url"], "/css/a.css")).body == b"p {}"


async def test_a_browser_shows_the_page(sandbox: LocalSandbox) -> None:
    url = await served(
        sandbox, index="<!doctype html><title>Shown</title><p id=a>one</p><script src=a.js></script>"
    )
    await sandbox.run_async({"files": {"a.js": "document.getElementById('a').textContent += ' and two ✓'"}})

    assert '<p id="a">one and two ✓</p>' in await opened(url)


async def test_the_address_stays_and_the_files_of_the_next_call_are_there(sandbox: LocalSandbox) -> None:
    first = await served(sandbox, index="one", other="kept")
    second = await served(sandbox, index="two")

    assert first == second
    assert (await get(second, "/")).body == b"two"
    assert (await get(second, "/other.html")).body == b"kept"


async def test_nothing_is_served_before_it_is_asked_for(sandbox: LocalSandbox) -> None:
    assert (await sandbox.run_async({"files": {"index.html": "x"}}))["url"] is None
    assert (await sandbox.run_async({}))["files"] == []
    assert sandbox.url is None

    url = (await sandbox.run_async({"commands": SERVE}))["url"]

    assert (await get(url, "/")).body == b"x"


@pytest.mark.parametrize(
    ("action", "error", "why"),
    [
        ({"commands": ["npm install"]}, UnknownSandboxCommand, "'npm install'"),
        ({"commands": ["serve", "rm -rf /"]}, UnknownSandboxCommand, "'rm -rf /'"),
        ({"commands": [["serve"]]}, UnknownSandboxCommand, "'serve'"),
        ({"commands": "serve"}, InvalidSandboxRequest, "a list"),
        ({"files": ["index.html"]}, InvalidSandboxRequest, "by path"),
        ({"file": {}}, InvalidSandboxRequest, "no 'file'"),
        ([], InvalidSandboxRequest, "mapping"),
        (None, InvalidSandboxRequest, "mapping"),
        ({"files": {"a": "", "../b": ""}}, SandboxPathRefused, "climbs out"),
        ({"files": {"a": "", "/b": ""}}, SandboxPathRefused, "absolute"),
        ({"files": {"a": "", "b\0": ""}}, SandboxPathRefused, "NUL"),
        ({"files": {"a": "", "b" * 300: ""}}, SandboxPathRefused, "longer"),
        ({"files": {"a": "", "a/b": ""}}, SandboxPathRefused, "as well"),
        ({"files": {"a": "", 7: ""}}, SandboxPathRefused, "no text"),
        ({"files": {"a": "", "b": 7}}, InvalidSandboxRequest, "text or bytes"),
        ({"files": {"a": "", "b": None}}, InvalidSandboxRequest, "text or bytes"),
        ({"files": {"a": "", "b": "\ud800"}}, InvalidSandboxRequest, "Unicode"),
        ({"files": {"a": "", "b": b"x" * 1_001}}, SandboxFileTooLarge, "1,001 bytes"),
        ({"files": {"a": "", "b": "ä" * 501}}, SandboxFileTooLarge, "file_bytes"),
        ({"files": {str(n): "" for n in range(1_001)}}, InvalidSandboxRequest, "1001"),
    ],
)
async def test_what_it_cannot_do_is_a_typed_error_before_anything_is_written(
    sandbox: LocalSandbox, action: Any, error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why) as caught:
        await sandbox.run_async(action)

    assert isinstance(caught.value, ValueError)
    assert list(sandbox.directory.iterdir()) == []
    assert sandbox.url is None


async def test_a_link_in_the_directory_that_leads_out_is_refused(
    sandbox: LocalSandbox, tmp_path: Path
) -> None:
    (tmp_path / "secret.html").write_text("secret")
    (sandbox.directory / "link.html").symlink_to(tmp_path / "secret.html")
    (sandbox.directory / "out").symlink_to(tmp_path)

    for path in ("link.html", "out/secret.html"):
        with pytest.raises(SandboxPathRefused, match="is a link"):
            await sandbox.run_async({"files": {"index.html": "x", path: "theirs"}})
    url = await served(sandbox)

    assert [(await get(url, path)).status for path in ("/link.html", "/out/secret.html", "/out/", "/")] == [
        404
    ] * 4
    assert (tmp_path / "secret.html").read_text() == "secret"


async def test_after_the_block_nobody_listens_and_no_thread_was_made(tmp_path: Path) -> None:
    before = threading.enumerate()
    async with LocalSandbox(tmp_path) as sandbox:
        assert repr(sandbox) == f"<LocalSandbox '{tmp_path}': not served>"
        url = await served(sandbox, index="x")
        assert repr(sandbox) == f"<LocalSandbox '{tmp_path}': {url}>"
        stuck = await anyio.connect_tcp("127.0.0.1", port_of(url))
        names = [thread.name for thread in threading.enumerate() if thread not in before]
        # Those of the event loop, which end with it.
        assert [name for name in names if not name.startswith(("AnyIO worker thread", "Trio thread"))] == []

    async with stuck:
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stuck.receive()
    with pytest.raises(OSError, match="connection attempts failed"):
        await anyio.connect_tcp("127.0.0.1", port_of(url))
    with pytest.raises(SandboxClosed):
        await sandbox.run_async({"commands": SERVE})
    assert sandbox.url is None


async def test_it_can_be_closed_before_its_block_ends_and_from_another_task(tmp_path: Path) -> None:
    async with LocalSandbox(tmp_path) as sandbox:
        url = await served(sandbox, index="x")
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(sandbox.aclose)

        with pytest.raises(OSError, match="connection attempts failed"):
            await anyio.connect_tcp("127.0.0.1", port_of(url))
        with pytest.raises(SandboxClosed, match="aclose"):
            await sandbox.run_async({})


async def test_an_error_in_its_block_passes_as_it_is(tmp_path: Path) -> None:
    async def fail() -> None:
        async with LocalSandbox(tmp_path) as sandbox:
            await served(sandbox, index="x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    async with LocalSandbox(tmp_path):
        pass  # the directory is free


async def test_a_cancelled_block_ends(tmp_path: Path) -> None:
    url = ""
    with anyio.CancelScope() as scope:
        async with LocalSandbox(tmp_path) as sandbox:
            url = await served(sandbox, index="x")
            scope.cancel()
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    with pytest.raises(OSError, match="connection attempts failed"):
        await anyio.connect_tcp("127.0.0.1", port_of(url))


async def test_a_start_of_serving_that_was_cancelled_is_made_good_by_the_next_which_ends_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def from_socket(bound: object) -> SocketListener:
        scope.cancel()
        await anyio.sleep_forever()
        raise AssertionError

    async with LocalSandbox(tmp_path) as sandbox:
        with monkeypatch.context() as patch, anyio.CancelScope() as scope:
            patch.setattr(SocketListener, "from_socket", from_socket)
            await sandbox.run_async({"files": {"index.html": "x"}, "commands": SERVE})
        assert sandbox.url is None

        url = await served(sandbox, index="x")
        assert (await get(url, "/")).status == 200
        await sandbox.aclose()
        with pytest.raises(ConnectionRefusedError):  # at once: nothing else has run since
            socket.create_connection(("127.0.0.1", port_of(url)))


async def test_outside_of_its_block_it_says_how_it_is_used(tmp_path: Path) -> None:
    sandbox = LocalSandbox(tmp_path)

    with pytest.raises(SandboxClosed, match="async with"):
        await sandbox.run_async({"commands": SERVE})
    await sandbox.aclose()
    with pytest.raises(SandboxClosed, match="make a new one"):
        async with sandbox:
            pass


async def test_two_sandboxes_cannot_share_a_directory(sandbox: LocalSandbox) -> None:
    with pytest.raises(SandboxUnusable, match="another sandbox"):
        async with LocalSandbox(sandbox.directory):
            pass


async def test_a_port_of_ones_own_is_kept_and_a_taken_one_is_named(
    sandbox: LocalSandbox, tmp_path: Path
) -> None:
    url = await served(sandbox, index="x")

    async with LocalSandbox(tmp_path / "b", port=port_of(url)) as other:
        with pytest.raises(SandboxUnusable, match=str(port_of(url))) as caught:
            await served(other, index="y")
        assert isinstance(caught.value, SandboxError)

    await sandbox.aclose()
    async with LocalSandbox(tmp_path / "b", port=port_of(url)) as other:
        assert await served(other) == url
        assert (await get(url, "/")).body == b"y"


async def test_calls_at_the_same_time_leave_whole_files(sandbox: LocalSandbox) -> None:
    async with anyio.create_task_group() as tasks:
        for letter in "abcdefgh":
            tasks.start_soon(sandbox.run_async, {"files": {"index.html": letter * 900}, "commands": SERVE})

    assert sandbox.url is not None
    body = (await get(sandbox.url, "/")).body
    assert body == body[:1] * 900


@pytest.mark.parametrize(
    "options", [{"port": -1}, {"port": 65_536}, {"port": "80"}, {"file_bytes": 0}, {"port": True}]
)
def test_options_that_can_never_work_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        LocalSandbox(tmp_path, **options)


def test_a_missing_sandbox_is_a_value_error_that_says_what_to_do() -> None:
    error = SandboxMissing("dev")

    assert isinstance(error, ValueError)
    assert "sandbox_tool=LocalSandbox" in str(error)


def test_it_is_a_sandbox_tool(tmp_path: Path) -> None:
    tool: SandboxTool = LocalSandbox(tmp_path)

    assert callable(tool.run_async)
