"""How messages and states become bytes: msgpack by msgspec, once, on the caller's thread.

The store keeps payloads as exact bytes and turns them into objects that a query can look into only
behind the journal. A type is stored under its tag: the msgspec `tag` of a Struct, else the class's
name (`Account.State` for a nested one), so that a renamed class with an explicit tag orphans nothing.
An actor class has its tag the same way: `class Account(Actor, tag="account")`, and so, through it, has a
State without one (`account.State`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

__all__ = ["Codec", "digest", "tag_of"]

T = TypeVar("T")


class Codec:
    """Encodes and decodes for one actor system.

    An object with a `__sentient_path__` string (an actor's ref) is stored as that path; `resolve`
    turns a path back into a ref where a type says that one is expected. `check` raises for a ref whose
    path would lead somewhere else by then: one of another system.
    """

    __slots__ = ("_check", "_resolve", "encode")

    def __init__(
        self,
        resolve: Callable[[type, str], object] | None = None,
        check: Callable[[object], None] | None = None,
    ) -> None:
        self._resolve = resolve
        self._check = check
        self.encode: Callable[[object], bytes] = msgspec.msgpack.Encoder(enc_hook=self._to_path).encode
        """Exact bytes of `value`. Raises whatever msgspec raises for what it cannot hold."""

    def decode(self, data: bytes, type_: type[T]) -> T:
        """The value of type `type_` in `data`. Raises msgspec.DecodeError when it does not fit."""
        return msgspec.msgpack.decode(data, type=type_, dec_hook=self._from_path)

    def _to_path(self, value: object) -> str:
        path = getattr(value, "__sentient_path__", None)
        if not isinstance(path, str):
            raise NotImplementedError(f"{type(value).__qualname__} has no stored form")
        if self._check is not None:
            self._check(value)
        return path

    def _from_path(self, type_: type, value: Any) -> object:
        if self._resolve is not None and isinstance(value, str):
            return self._resolve(type_, value)
        raise NotImplementedError(f"a {type_.__qualname__} cannot be read back from the store")


def digest(data: bytes) -> bytes:
    """16 bytes of BLAKE2b: finds a changed or torn blob, is no signature."""
    return hashlib.blake2b(data, digest_size=16).digest()


def tag_of(type_: type) -> str:
    """The name a type is stored under."""
    config = getattr(type_, "__struct_config__", None)
    if isinstance(config, msgspec.structs.StructConfig):  # of the metaclass of Structs it is not
        tag = config.tag
    else:
        tag = vars(type_).get("__sentient_tag__")
    return type_.__qualname__.rpartition("<locals>.")[2] if tag is None else str(tag)
