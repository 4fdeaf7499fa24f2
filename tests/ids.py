"""Names of parametrised tests: the same in every process that collects them."""

from __future__ import annotations

import re

__all__ = ["named"]


def named(value: object) -> str:
    """The repr of a parameter, without the addresses of objects."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
