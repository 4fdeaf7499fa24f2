"""One connection through a proxy, under virtual time: how late its pieces are, and how they are cut."""

from __future__ import annotations

import random

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.testing import Direction, ToxicProxy, Toxics, virtual_backend
from sentient_core.testing.proxied import _parts  # pyright: ignore[reportPrivateUsage] - pure, and what cuts

LATE = 1_000.0


@given(st.binary(min_size=1, max_size=2_000), st.integers(1, 50), st.none() | st.floats(100.0, 1e6))
def test_parts_are_no_larger_than_they_may_be_and_the_whole_together(
    piece: bytes, most: int, bandwidth: float | None
) -> None:
    toxics = Toxics(slice_bytes=most, bandwidth=bandwidth)

    parts = list(_parts(piece, toxics, random.Random(1)))

    assert b"".join(parts) == piece
    assert all(1 <= len(part) <= most for part in parts)


def test_slices_differ_in_size_and_without_toxics_a_piece_is_one_part() -> None:
    slices = list(_parts(bytes(1_000), Toxics(slice_bytes=10), random.Random(1)))

    assert {len(part) for part in slices[:-1]} == set(range(1, 11))
    assert list(_parts(bytes(1_000), Toxics(), random.Random(1))) == [bytes(1_000)]


async def arrivals(toxics: Toxics, pieces: int) -> list[float]:
    """Seconds from when each piece was sent, one a second, to when it came, one way through a proxy."""
    seconds: list[float] = []
    begin = 0.0

    async def serve(stream: SocketStream) -> None:
        async with stream:
            for number in range(pieces):
                assert await stream.receive(1) == bytes([number])
                seconds.append(anyio.current_time() - begin - number)
            tasks.cancel_scope.cancel()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        port = listener.extra_attributes[SocketAttribute.local_port]()
        async with ToxicProxy("127.0.0.1", port, seed=7) as proxy:
            proxy.set(toxics, Direction.TO_SERVER)
            async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
                begin = anyio.current_time()
                for number in range(pieces):
                    await stream.send(bytes([number]))
                    await anyio.sleep(1.0)
                await anyio.sleep(100 * LATE)
    return seconds


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_latency_is_that_of_each_piece_and_holds_up_none_behind_it(backend: str) -> None:
    name, options = virtual_backend(backend, quiet=0.02)

    seconds = anyio.run(arrivals, Toxics(latency=LATE), 5, backend=name, backend_options=options)

    assert len(seconds) == 5
    assert all(LATE <= late < 1.5 * LATE for late in seconds)


def test_jitter_is_drawn_for_each_piece() -> None:
    name, options = virtual_backend("asyncio", quiet=0.02)

    seconds = anyio.run(arrivals, Toxics(jitter=LATE), 5, backend=name, backend_options=options)

    assert max(seconds) > 0.2 * LATE
    assert max(seconds) <= 1.1 * LATE
    assert len({round(late) for late in seconds}) > 1


async def test_what_would_be_lost_with_its_connection_is_held_first_in_a_black_hole() -> None:
    async def echo(stream: SocketStream) -> None:
        async with stream:
            await stream.send(await stream.receive())

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, echo)
        port = listener.extra_attributes[SocketAttribute.local_port]()
        async with ToxicProxy("127.0.0.1", port) as proxy:
            proxy.set(Toxics(black_hole=True, reset=1.0), Direction.TO_SERVER)
            async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
                await stream.send(b"a")
                with anyio.move_on_after(0.05):
                    await stream.receive()
                assert proxy.resets == 0
                proxy.heal()
                assert await stream.receive() == b"a"
        tasks.cancel_scope.cancel()
