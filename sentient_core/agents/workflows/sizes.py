"""How large what a workflow keeps may be: it is in its state, which is written with each of its turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sentient_core.errors import InvalidArgument
from sentient_core.store.plain_values import check_storable

__all__ = [
    "MOST_BYTES_OF_DEFINITION",
    "MOST_BYTES_OF_INPUT",
    "MOST_BYTES_OF_RESULT",
    "MOST_BYTES_OF_RESULTS",
    "MOST_BYTES_OF_SIGNAL",
    "MOST_SIGNALS",
    "MOST_STEPS",
    "bytes_of_result",
    "check_input",
]

MOST_STEPS = 1_000
MOST_BYTES_OF_DEFINITION = 4 * 1024 * 1024
MOST_BYTES_OF_INPUT = 4 * 1024 * 1024
"""What a workflow is started with, and what a task of it is given."""
MOST_BYTES_OF_RESULT = 1024 * 1024
MOST_BYTES_OF_RESULTS = 8 * 1024 * 1024
"""Of all steps together."""
MOST_BYTES_OF_SIGNAL = 64 * 1024
MOST_SIGNALS = 100
"""That nobody has waited for yet; further ones are refused."""

_ELSEWHERE = "keep it elsewhere, and say where"


def bytes_of_result(result: Mapping[str, Any], before: int) -> int:
    """How large the result of a step is, beside those of others, of `before` bytes. Or InvalidArgument."""
    check_storable({"": {"": {"": result}}}, "its result")  # it stands in other objects later
    size = len(msgspec.msgpack.encode(result))
    if size > MOST_BYTES_OF_RESULT:
        raise InvalidArgument(
            f"its result has {size:,} bytes, and may have {MOST_BYTES_OF_RESULT:,}: {_ELSEWHERE}"
        )
    if before + size > MOST_BYTES_OF_RESULTS:
        raise InvalidArgument(
            f"with its result, those of the workflow have {before + size:,} bytes, and may have "
            f"{MOST_BYTES_OF_RESULTS:,}: {_ELSEWHERE}"
        )
    return size


def check_input(given: Mapping[str, Any]) -> None:
    """Raise InvalidArgument for what no task can be given."""
    check_storable(given, "its input", most_bytes=MOST_BYTES_OF_INPUT)
