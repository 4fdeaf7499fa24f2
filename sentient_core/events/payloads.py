"""Payloads of published events: checked before anything happens, so that they are read as they were given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from sentient_core.errors import EventTooLarge, InvalidPayload, UnstorableValue
from sentient_core.store.plain_values import check_storable

__all__ = ["packed"]

_encode = msgspec.msgpack.Encoder().encode


def packed(payload: object, most: int) -> bytes:
    """The exact bytes of a payload, see `check_storable`.

    Raises InvalidPayload, EventTooLarge (more than `most` bytes).
    """
    if not isinstance(payload, Mapping):
        kind = type(payload).__qualname__
        raise InvalidPayload("payload", f"a {kind}", "it must be a mapping with texts as keys")
    try:
        plain = check_storable(cast("object", payload), "payload", most_bytes=None)
    except UnstorableValue as error:
        raise InvalidPayload(error.where, error.why, error.advice) from None
    data = _encode(plain)
    if len(data) > most:
        raise EventTooLarge(len(data), most)
    return data
