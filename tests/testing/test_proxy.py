"""What the proxy does to connections, seen from their two ends."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from sentient_core.errors import InvalidArgument
from sentient_core.testing import Direction, ToxicProxy, Toxics, no_leaks


class Upper:
    """A server that answers in capitals; what it has got is seen."""

    def __init__(self) -> None:
        self.got = b""
        self.resets = 0
        self._news = anyio.Event()

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            try:
                while True:
                    piece = await stream.receive()
                    self.got += piece
                    self._tell()
                    await stream.send(piece.upper())
            except anyio.EndOfStream:
                pass
            except anyio.BrokenResourceError:
                self.resets += 1
                self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def until_reset(self) -> None:
        while not self.resets:
            await self._news.wait()

    async def until_got(self, size: int) -> None:
        while len(self.got) < size:
            await self._news.wait()


@asynccontextmanager
async def proxied(seed: int = 0) -> AsyncGenerator[tuple[ToxicProxy, Upper]]:
    upper = Upper()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, upper.serve)
        with anyio.fail_after(20):
            async with ToxicProxy(
                "127.0.0.1", listener.extra_attributes[SocketAttribute.local_port](), seed=seed
            ) as proxy:
                yield proxy, upper
        tasks.cancel_scope.cancel()


async def connect(proxy: ToxicProxy) -> SocketStream:
    return await anyio.connect_tcp("127.0.0.1", proxy.port)


async def receive(stream: SocketStream, size: int) -> bytes:
    got = b""
    while len(got) < size:
        got += await stream.receive()
    return got


async def test_without_toxics_everything_passes_both_ways_and_each_end_ends_by_itself() -> None:
    text = bytes(range(97, 123)) * 40_000
    async with proxied() as (proxy, upper), anyio.create_task_group() as tasks:
        stream = await connect(proxy)
        async with stream:
            tasks.start_soon(stream.send, text)
            assert await receive(stream, len(text)) == text.upper()
            await stream.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()

        assert upper.got == text
        assert (proxy.accepted, proxy.resets, upper.resets) == (1, 0, 0)


async def test_latency_delays_and_keeps_the_order_whatever_the_jitter() -> None:
    async with proxied() as (proxy, _), await connect(proxy) as stream:
        proxy.set(Toxics(latency=0.05, jitter=0.05), Direction.TO_SERVER)
        start = anyio.current_time()
        for letter in b"abcdef":
            await stream.send(bytes([letter]))
            await anyio.sleep(0.002)

        assert await receive(stream, 6) == b"ABCDEF"
        assert anyio.current_time() - start >= 0.05  # a least delay is promised, so it can be asserted


async def test_a_bandwidth_is_kept() -> None:
    async with proxied() as (proxy, _), await connect(proxy) as stream:
        proxy.set(Toxics(bandwidth=50_000), Direction.TO_CLIENT)
        start = anyio.current_time()
        await stream.send(bytes(10_000))
        await receive(stream, 10_000)

        # the last part may arrive before its time is over
        assert anyio.current_time() - start >= 10_000 / 50_000 - 0.03


async def test_slices_are_small_and_complete() -> None:
    async with proxied() as (proxy, _), await connect(proxy) as stream:
        proxy.set(Toxics(slice_bytes=3, slice_pause=0.002), Direction.TO_CLIENT)
        await stream.send(b"abcdefghijkl")
        pieces = [await stream.receive()]
        while sum(map(len, pieces)) < 12:
            pieces.append(await stream.receive())

    assert b"".join(pieces) == b"ABCDEFGHIJKL"
    assert len(pieces) > 1


@pytest.mark.parametrize("direction", list(Direction))
async def test_a_black_hole_keeps_what_is_sent_until_it_ends(direction: Direction) -> None:
    async with proxied() as (proxy, upper), await connect(proxy) as stream:
        proxy.set(Toxics(black_hole=True), direction)
        await stream.send(b"abc")
        if direction is Direction.TO_CLIENT:
            await upper.until_got(3)
        with anyio.move_on_after(0.05):
            await stream.receive()
            pytest.fail("it came through")
        if direction is Direction.TO_CLIENT:
            await upper.until_got(3)
        assert upper.got == (b"" if direction is Direction.TO_SERVER else b"abc")
        late = await connect(proxy)
        await late.send(b"def")
        with anyio.move_on_after(0.05):
            await late.receive()
            pytest.fail("it came through")

        proxy.heal()

        assert await receive(stream, 3) == b"ABC"
        assert await receive(late, 3) == b"DEF"
        await late.aclose()


async def test_an_end_is_not_told_either_in_a_black_hole() -> None:
    async with proxied() as (proxy, upper), await connect(proxy) as stream:
        proxy.set(Toxics(black_hole=True))
        await stream.send_eof()
        with anyio.move_on_after(0.05):
            await stream.receive()
            pytest.fail("it came through")

        proxy.heal()

        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        assert upper.resets == 0


async def close_by_reset(stream: SocketStream) -> None:
    raw = stream.extra_attributes[SocketAttribute.raw_socket]()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await anyio.aclose_forcefully(stream)


async def test_a_reset_is_not_told_either_in_a_black_hole() -> None:
    async with proxied() as (proxy, upper):
        stream = await connect(proxy)
        await stream.send(b"a")
        assert await receive(stream, 1) == b"A"
        proxy.set(Toxics(black_hole=True))
        await close_by_reset(stream)
        with anyio.move_on_after(0.05):
            await upper.until_reset()
            pytest.fail("the server has heard of it")
        assert proxy.open_connections == 1

        proxy.heal()

        await upper.until_reset()
        assert proxy.resets == 1


async def test_a_server_that_is_away_is_not_told_of_in_a_black_hole() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra_attributes[SocketAttribute.local_port]()
    await listener.aclose()
    async with ToxicProxy("127.0.0.1", port) as proxy:
        proxy.set(Toxics(black_hole=True))
        async with await connect(proxy) as stream:
            with anyio.move_on_after(0.05):
                await stream.receive()
                pytest.fail("the client has heard of it")

            proxy.heal()

            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)), anyio.fail_after(20):
                await stream.receive()


async def test_a_proxy_leaves_nothing_behind_whatever_its_connections_were_at() -> None:
    async with no_leaks(), proxied() as (proxy, _):
        streams = [await connect(proxy) for _ in range(8)]
        for stream in streams:
            await stream.send(b"a")
            await stream.receive()
        proxy.reset()
        late = [await connect(proxy) for _ in range(4)]
        proxy.set(Toxics(black_hole=True, latency=5.0))
        for stream in late:
            await stream.send(bytes(100_000))
        await close_by_reset(late[0])
        for stream in (*streams, *late[1:]):
            await stream.aclose()


async def test_waiting_for_bytes_that_are_not_to_be_held_is_refused() -> None:
    async with proxied() as (proxy, _):
        with pytest.raises(InvalidArgument, match="no black_hole_at is set"):
            await proxy.held()


async def test_slices_of_a_limited_bandwidth_keep_their_pause() -> None:
    async with proxied() as (proxy, _), await connect(proxy) as stream:
        proxy.set(Toxics(bandwidth=1e6, slice_bytes=1, slice_pause=0.02), Direction.TO_CLIENT)
        start = anyio.current_time()
        await stream.send(b"abcd")
        await receive(stream, 4)

        assert anyio.current_time() - start >= 3 * 0.02


async def test_a_black_hole_can_begin_with_the_request_that_matters_even_if_it_comes_in_two() -> None:
    async with proxied() as (proxy, upper), await connect(proxy) as stream:
        proxy.set(Toxics(black_hole_at=b"COMMIT"), Direction.TO_SERVER)
        await stream.send(b"BEGIN;")
        assert await receive(stream, 6) == b"BEGIN;"
        await stream.send(b"; COM")
        assert await receive(stream, 5) == b"; COM"

        await stream.send(b"MIT;")

        await proxy.held()
        assert proxy.toxics(Direction.TO_SERVER) == Toxics(black_hole=True)
        assert upper.got == b"BEGIN;; COM"
        proxy.heal()
        assert await receive(stream, 4) == b"MIT;"


async def test_a_lost_answer_takes_its_connection_along_and_what_was_asked_is_done() -> None:
    async with proxied() as (proxy, upper), await connect(proxy) as stream:
        proxy.set(Toxics(reset=1.0), Direction.TO_CLIENT)
        await stream.send(b"abc")

        with pytest.raises(anyio.BrokenResourceError):
            await stream.receive()

        await upper.until_reset()
        assert upper.got == b"abc"
        assert proxy.resets == 1


async def test_all_connections_are_reset_when_asked_to_and_new_ones_are_taken() -> None:
    async with proxied() as (proxy, _):
        streams = [await connect(proxy) for _ in range(3)]
        for stream in streams:
            await stream.send(b"a")
            await stream.receive()
        assert proxy.open_connections == 3

        proxy.reset()

        for stream in streams:
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
            await stream.aclose()
        assert proxy.resets == 3
        async with await connect(proxy) as stream:
            await stream.send(b"b")
            assert await stream.receive() == b"B"


async def test_a_server_that_is_away_resets_who_comes() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra_attributes[SocketAttribute.local_port]()
    await listener.aclose()
    async with ToxicProxy("127.0.0.1", port) as proxy, await connect(proxy) as stream:
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)), anyio.fail_after(20):
            await stream.receive()


async def test_the_same_seed_breaks_the_same_pieces() -> None:
    async def survived(seed: int) -> list[int]:
        counts: list[int] = []
        async with proxied(seed) as (proxy, _):
            proxy.set(Toxics(reset=0.2), Direction.TO_CLIENT)
            for _ in range(5):
                async with await connect(proxy) as stream:
                    answers = 0
                    try:
                        while True:
                            await stream.send(b"a")
                            await stream.receive()
                            answers += 1
                    except anyio.BrokenResourceError:
                        counts.append(answers)
        return counts

    first, again, other = await survived(1), await survived(1), await survived(2)

    assert first == again
    assert first != other
    assert len(set(first)) > 1  # each connection by itself


async def test_leaving_the_block_breaks_off_what_is_open_also_by_an_exception() -> None:
    streams: list[SocketStream] = []

    async def talk_and_fail(port: int) -> None:
        async with ToxicProxy("127.0.0.1", port) as proxy:
            streams.append(await connect(proxy))
            await streams[0].send(b"a")
            await streams[0].receive()
            raise ValueError("mine")

    async with proxied() as (proxy, upper):
        with pytest.raises(ValueError, match="mine"):
            await talk_and_fail(proxy.port)
        async with streams[0] as stream:
            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
                await stream.receive()
        assert upper.got == b"a"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latency", -1.0),
        ("latency", float("nan")),
        ("latency", float("inf")),
        ("latency", "1"),
        ("latency", True),
        ("jitter", -0.1),
        ("slice_pause", -0.1),
        ("slice_pause", 0.1),
        ("bandwidth", 0.0),
        ("bandwidth", float("inf")),
        ("slice_bytes", 0),
        ("slice_bytes", 1.5),
        ("reset", 1.1),
        ("reset", float("nan")),
        ("black_hole", 1),
        ("black_hole_at", b""),
        ("black_hole_at", "COMMIT"),
    ],
)
def test_what_can_never_work_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidArgument, match=field):
        Toxics(**{field: value})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("port", [0, 65_536, True, "80"])
def test_a_port_that_cannot_be_is_refused(port: Any) -> None:
    with pytest.raises(InvalidArgument, match="port"):
        ToxicProxy("127.0.0.1", port)


def test_an_empty_host_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="host is empty"):
        ToxicProxy("", 80)


async def test_it_says_what_it_does_and_has_no_address_before_it_listens() -> None:
    proxy = ToxicProxy("127.0.0.1", 8000)
    with pytest.raises(InvalidArgument, match="enter it first"):
        proxy.url()

    async with proxy:
        proxy.set(Toxics(latency=0.5), Direction.TO_CLIENT)
        assert repr(proxy) == (
            f"<ToxicProxy {proxy.port} to 127.0.0.1:8000, 0 open, to_client: Toxics(latency=0.5)>"
        )


@pytest.mark.parametrize(("toxics", "direction"), [({"latency": 1}, None), (Toxics(), "to_client")])
def test_what_is_no_toxics_or_no_direction_is_refused(toxics: Any, direction: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"Toxics\(latency=0.1\)|Direction.TO_SERVER"):
        ToxicProxy("127.0.0.1", 8000).set(toxics, direction)
