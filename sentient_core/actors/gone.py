"""A sender that may live no more: what is left of it is its path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentient_core.paths import EXTERNAL

if TYPE_CHECKING:
    from sentient_core.actors.runtime import Runtime
    from sentient_core.mailbox.envelope import Sender

__all__ = ["sender_at"]


def sender_at(path: str, runtime: Runtime) -> Sender | None:
    """Who a stored message is from: the actor that lives at the path, or what is left. None: from outside."""
    if path == EXTERNAL:
        return None
    return runtime.registry.find(path) or _Gone(path, runtime)


class _Gone:
    __slots__ = ("path", "runtime")

    def __init__(self, path: str, runtime: object) -> None:
        self.path = path
        self.runtime = runtime
