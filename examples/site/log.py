"""Where the runtime's log lines go: a library configures no logging, so the program does."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import structlog

__all__ = ["log_to"]


@contextmanager
def log_to(path: Path) -> Generator[None, None, None]:
    """Write every log line of this process as JSON to the end of a file, and none to the terminal."""
    about: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    as_json = structlog.processors.JSONRenderer(default=str)
    with path.open("a", encoding="utf-8") as file:
        structlog.configure(processors=[*about, as_json], logger_factory=structlog.WriteLoggerFactory(file))
        # What other libraries say through the standard library goes the same way.
        others = logging.StreamHandler(file)
        others.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=about,
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, as_json],
            )
        )
        logging.getLogger().addHandler(others)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(others)
            structlog.reset_defaults()
