"""The publisher: the only one who writes into the output folder."""

from __future__ import annotations

from pathlib import Path

import msgspec
from anyio import to_thread

from examples.site.faults import Fate, FaultPlan, Mortal, Place
from examples.site.files import digest_of, digest_on_disk, remove, write
from examples.site.messages import Copy, Publish, Receipt, Withdraw
from examples.site.render import SourceChanged, read_source
from sentient_core import handles

__all__ = ["Publisher"]


class Publisher(Mortal):
    """Publishes each file once, however often it is asked to.

    The disk is the truth about what is published, since no checkpoint can be committed together with
    it: what is there already, byte for byte, is adopted. The state says which files are its own, so that
    somebody else's are never removed.
    """

    reply_errors = (OSError, SourceChanged)
    """A full disk is no reason to crash: whoever asked decides."""

    class State(msgspec.Struct):
        files: dict[str, str] = {}
        """Digests of what it has published, by name."""

    state: State

    def __init__(self, faults: FaultPlan, out: str) -> None:
        super().__init__(faults)
        self._out = Path(out)

    @handles
    async def publish(self, message: Publish) -> Receipt:
        fate = self.fate()
        fate.passes(Place.BEFORE)
        return await self._put(message.file, message.edition, message.content.encode(), fate)

    @handles
    async def copy(self, message: Copy) -> Receipt:
        fate = self.fate()
        fate.passes(Place.BEFORE)
        content = await to_thread.run_sync(read_source, Path(message.path), message.digest)
        return await self._put(message.file, message.edition, content, fate)

    @handles
    async def withdraw(self, message: Withdraw) -> int:
        fate = self.fate()
        fate.passes(Place.BEFORE)
        own = [file for file in message.files if file in self.state.files]
        await to_thread.run_sync(remove, self._out, own)
        fate.passes(Place.BETWEEN)
        for file in own:
            del self.state.files[file]
        await self.checkpoint()
        fate.passes(Place.AFTER)
        return len(own)

    async def _put(self, file: str, edition: int, content: bytes, fate: Fate) -> Receipt:
        digest = digest_of(content)
        path = self._out / file
        fresh = await to_thread.run_sync(digest_on_disk, path) != digest
        if fresh:
            await to_thread.run_sync(write, path, content)
        fate.passes(Place.BETWEEN)
        if self.state.files.get(file) != digest:
            self.state.files[file] = digest
            await self.checkpoint()
        fate.passes(Place.AFTER)
        return Receipt(file, edition, digest, fresh)
