"""A process that opens a store and is killed at one of its requests; run by test_previous_release."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import anyio

from sentient_core.store import SurrealStore
from sentient_core.store.engine import Client, embedded


class Dying:
    """The real client, until its n-th request: killed before it, behind it, or milliseconds into it."""

    def __init__(self, client: Client, number: int, when: str) -> None:
        self._client = client
        self._left = number
        self._when = when

    async def connect(self) -> None:
        await self._client.connect()

    async def close(self) -> None:
        await self._client.close()

    async def execute(self, cbor_request: bytes) -> bytes:
        self._left -= 1
        if self._left:
            return await self._client.execute(cbor_request)
        if self._when not in ("before", "behind"):
            asyncio.get_running_loop().call_later(float(self._when) / 1_000, kill)
        elif self._when == "before":
            kill()
        answer = await self._client.execute(cbor_request)
        kill()
        return answer


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, number: str, when: str) -> None:
    async with SurrealStore(url, connect=lambda url: Dying(embedded(url), int(number), when)) as store:
        await store.query("RETURN 1")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
