"""The toxic proxy for programs that are not async, in an event loop and a thread of its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from sentient_core.testing import Direction, ToxicProxy, Toxics

__all__ = ["Proxy", "proxy_to"]


class Proxy:
    """As ToxicProxy, for any thread but its own."""

    def __init__(self, portal: BlockingPortal, proxy: ToxicProxy) -> None:
        self._portal = portal
        self._proxy = proxy

    @property
    def resets(self) -> int:
        """Connections that broke."""
        return self._proxy.resets

    def url(self, scheme: str) -> str:
        """The address of the server by this way."""
        return self._proxy.url(scheme)

    def set(self, toxics: Toxics, direction: Direction | None = None) -> None:
        """From now on."""
        self._portal.call(self._proxy.set, toxics, direction)

    def held(self) -> None:
        """Return once a request has come that begins the black hole."""

        async def held() -> None:
            with anyio.fail_after(30):
                await self._proxy.held()

        self._portal.call(held)

    def heal(self) -> None:
        """No toxics any more."""
        self._portal.call(self._proxy.heal)


@contextmanager
def proxy_to(port: int, seed: int = 0) -> Generator[Proxy]:
    """A way to a server of this machine."""
    with (
        start_blocking_portal(name="proxy") as portal,
        portal.wrap_async_context_manager(ToxicProxy("127.0.0.1", port, seed=seed)) as proxy,
    ):
        yield Proxy(portal, proxy)
