"""One peer in a process of its own: `python -m benchmarks.peers MODULE`.

Reads requests `{"workload": …, "count": …}` from stdin, one per line, and answers each with a line of
`{"found": …}` or `{"error": …}`. The first line says which workloads there are.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable

__all__ = ["main"]


def main() -> None:
    """Serve until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get between the answers

    def answer(**fields: object) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    logging.basicConfig(level=logging.CRITICAL)
    workloads: dict[str, Callable[[int], float]] = importlib.import_module(sys.argv[1]).WORKLOADS
    answer(workloads=list(workloads))
    for line in sys.stdin:
        request = json.loads(line)
        gc.collect()
        try:
            answer(found=workloads[request["workload"]](request["count"]))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other workloads may go on
            answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
