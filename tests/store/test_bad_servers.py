"""Servers that refuse, talk nonsense, or let nobody in while durable actors work: told, and no loop."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import cbor2
import msgspec
import pytest
import structlog
from aiohttp import WSMsgType, web
from anyio.streams.tls import TLSStream

from sentient_core import (
    Actor,
    ActorSystem,
    Alert,
    Request,
    SendTimeout,
    StoreAccessDenied,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
    StoreVersionUnsupported,
    handles,
)
from sentient_core.errors import CommitTimeout
from sentient_core.store import SurrealStore
from tests.conftest import ONCE
from tests.probes import Log
from tests.store.server import Server, make_certificate
from tests.store.test_server import SCHEMES

pytestmark = ONCE

Answer = Callable[[bytes], bytes]


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    """How the server is spoken to."""
    name: str = request.param
    return name


@asynccontextmanager
async def answering(answer: Answer) -> AsyncGenerator[int]:
    """Something at `/rpc` that answers requests, over HTTP and WebSocket, with what is said. Its port."""

    async def rpc(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(body=answer(await request.read()))
        socket = web.WebSocketResponse(protocols=("cbor",))
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await socket.send_bytes(answer(message.data))
        return socket

    application = web.Application()
    application.router.add_route("*", "/rpc", rpc)
    runner = web.AppRunner(application, shutdown_timeout=0.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def saying(result: object) -> Answer:
    return lambda request: cbor2.dumps({"id": cbor2.loads(request)["id"], "result": result})


async def start(url: str, **settings: Any) -> None:
    settings = {"username": "root", "password": "S3cret"} | settings
    async with ActorSystem("bank", store=SurrealStore(url, call_timeout=3.0, **settings)):
        pass


# Coming in


async def test_a_server_of_another_version_is_refused_by_its_word(scheme: str) -> None:
    async with answering(saying("surrealdb-2.3.10")) as port:
        with pytest.raises(StoreVersionUnsupported, match=r"surrealdb-2\.3\.10"):
            await start(f"{scheme}://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "answer",
    [
        b"<html><body>It works!</body></html>",
        b"",
        b"\xff\xff",
        cbor2.dumps(["no", "object"]),
        cbor2.dumps({}),
        cbor2.dumps({"error": "not an object"}),
        cbor2.dumps(None),
    ],
    ids=["html", "nothing", "no cbor", "array", "empty", "odd error", "null"],
)
async def test_what_answers_nonsense_is_no_database_server(scheme: str, answer: bytes) -> None:
    async with answering(lambda _: answer) as port:
        with pytest.raises(StoreUnavailable, match="no database server") as caught:
            await start(f"{scheme}://127.0.0.1:{port}")
    assert "S3cret" not in str(caught.value)


async def test_a_web_page_is_no_database_server(scheme: str) -> None:
    page = b"<html>It works!</html>"

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s"
                % (len(page), page)
            )

    async with listening(serve) as port:
        with pytest.raises(StoreUnavailable, match="no database server"):
            await start(f"{scheme}://127.0.0.1:{port}")


async def test_a_server_that_hangs_up_at_once_is_told_as_that(scheme: str) -> None:
    async with listening(lambda stream: stream.aclose()) as port:
        with pytest.raises(StoreUnavailable, match=r"broke|ended the connection"):
            await start(f"{scheme}://127.0.0.1:{port}")


async def test_a_server_with_tls_is_told_from_one_without(tmp_path: Path, scheme: str) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await TLSStream.wrap(stream, ssl_context=context)

    async with listening(serve) as port:
        with pytest.raises(StoreUnavailable, match=r"broke|ended the connection|no database server"):
            await start(f"{scheme}://127.0.0.1:{port}")


@asynccontextmanager
async def listening(serve: Callable[[anyio.abc.SocketStream], Awaitable[None]]) -> AsyncGenerator[int]:
    async def served(stream: anyio.abc.SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError):  # whoever came has gone
            await serve(stream)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, served)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


# While durable actors are at work


class Add(msgspec.Struct, frozen=True):
    amount: int


class Total(Request[int], frozen=True):
    """Ask for the total."""


class Account(Actor):
    durability = "durable"

    class State(msgspec.Struct):
        total: int = 0

    state: State

    @handles
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handles
    def total(self, message: Total) -> int:
        return self.state.total


def listen(system: ActorSystem, heard: Log, causes: list[str]) -> None:
    def note(alert: Alert) -> None:
        heard(alert.alert)
        causes.append(str(alert.cause))

    system.alerts.subscribe(note)


async def test_a_user_who_is_not_let_in_any_more_holds_durable_actors_until_he_is(
    own_server: Server, scheme: str
) -> None:
    heard = Log()
    causes: list[str] = []
    async with own_server.store(database="shared") as owner:
        await owner.query("DEFINE USER teller ON DATABASE PASSWORD 'one' ROLES EDITOR")
    store = own_server.store(scheme, database="shared", username="teller", password="one")
    with structlog.testing.capture_logs():
        async with store, ActorSystem("bank", store=store) as system:
            listen(system, heard, causes)
            a = await system.spawn(Account, name="a")
            for _ in range(10):
                await a.send(Add(1))
            async with own_server.store(database="shared") as owner:
                await owner.query("DEFINE USER OVERWRITE teller ON DATABASE PASSWORD 'two' ROLES EDITOR")
            own_server.kill()
            await anyio.to_thread.run_sync(own_server.start)
            with pytest.raises((CommitTimeout, SendTimeout)):
                await a.send(Add(1), timeout=2.0)
            with pytest.raises(StoreError) as refused:
                await store.query("RETURN 1")
            await heard.until("store outage")

            assert isinstance(refused.value, StoreAccessDenied | StoreUnavailable)
            assert "'two'" not in causes[0]
            assert (a.is_alive, a.incarnation, system.statistics().restarts) == (True, 1, 0)
            async with own_server.store(database="shared") as owner:
                await owner.query("DEFINE USER OVERWRITE teller ON DATABASE PASSWORD 'one' ROLES EDITOR")
            await heard.until("store is back")
            assert await a.ask(Total(), timeout=10) == 11
            assert list(system.dead_letters) == []


async def test_a_database_that_is_removed_under_load_is_an_outage_and_no_loop(
    own_server: Server, scheme: str
) -> None:
    heard = Log()
    causes: list[str] = []
    with structlog.testing.capture_logs() as logs:
        store = own_server.store(scheme, database="gone")
        async with store, ActorSystem("bank", store=store, drain_patience=0.1) as system:
            listen(system, heard, causes)
            a = await system.spawn(Account, name="a")
            for _ in range(10):
                await a.send(Add(1))
            await system.flush()
            async with own_server.store() as owner:
                await owner.query("REMOVE DATABASE gone")
            with pytest.raises((CommitTimeout, SendTimeout)):
                await a.send(Add(1), timeout=1.0)
            await heard.until("store outage")

            assert "does not exist" in causes[0]
            assert (a.is_alive, a.incarnation, system.statistics().restarts) == (True, 1, 0)
            assert list(system.dead_letters) == []
    assert len([line for line in logs if line["log_level"] in ("warning", "error")]) < 10
    assert "the store did not take the last records" in {line["event"] for line in logs}


@pytest.mark.parametrize(("scheme", "is_bare"), [("ws", True), ("ws", False), ("http", False)])
async def test_a_database_that_is_removed_and_made_anew_ends_the_system_with_the_reason(
    own_server: Server, scheme: str, is_bare: bool
) -> None:
    """By a connection that comes back, which leaves it without tables; or by somebody else's store."""
    with structlog.testing.capture_logs(), anyio.fail_after(30):
        async with own_server.store(scheme, database="gone") as store:
            with pytest.raises(StoreDamaged, match="the row is gone, while the system runs"):  # noqa: PT012
                async with ActorSystem("bank", store=store) as system:
                    a = await system.spawn(Account, name="a")
                    for _ in range(10):
                        await a.send(Add(1))
                    await system.flush()
                    async with own_server.store() as owner:
                        await owner.query("REMOVE DATABASE gone")
                    if is_bare:
                        own_server.kill()
                        await anyio.to_thread.run_sync(own_server.start)
                    else:
                        async with own_server.store(database="gone") as other:
                            await other.query("RETURN 1")
                    while True:
                        a.tell(Add(1))
                        await anyio.sleep(0.01)

        async with own_server.store(scheme, database="gone") as store:
            with pytest.raises(StoreDamaged, match="schema" if is_bare else "missing"):
                async with ActorSystem("bank", store=store):
                    pass
