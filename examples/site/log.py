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
    with path.open("a", encoding="utf-8") as file:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(default=str),
            ],
            logger_factory=structlog.WriteLoggerFactory(file),
        )
        # What the libraries below say through the standard library, and warnings, go the same way.
        logging.basicConfig(handlers=[logging.StreamHandler(file)], level=logging.WARNING, force=True)
        try:
            yield
        finally:
            logging.getLogger().handlers.clear()
            structlog.reset_defaults()
