"""What a store logs obeys a least level: that of the store for its database, and of a journal's options."""

from __future__ import annotations

import pytest
import structlog

from sentient_core import Fenced, LogLevel
from sentient_core.store import JournalOptions, SurrealStore
from tests.conftest import ONCE
from tests.store.samples import event


@ONCE
@pytest.mark.parametrize(
    ("of_store", "of_journal", "written"),
    [
        (LogLevel.DEBUG, LogLevel.DEBUG, {"debug", "error"}),
        (LogLevel.DEBUG, LogLevel.CRITICAL, {"debug"}),
        (LogLevel.INFO, LogLevel.INFO, {"error"}),
        (LogLevel.CRITICAL, LogLevel.CRITICAL, set[str]()),
    ],
)
async def test_lines_below_the_level_are_not_written(
    url: str, of_store: LogLevel, of_journal: LogLevel, written: set[str]
) -> None:
    options = JournalOptions(log_level=of_journal)
    with structlog.testing.capture_logs() as lines:
        # It opens its database again after every request, and says so; a journal says that it is fenced.
        async with SurrealStore(url, reopen_bytes=1, log_level=of_store) as store:
            first = await store.open_journal("bank", options=options)
            second = await store.open_journal("bank", options=options)
            first.append(event(1))
            with pytest.raises(Fenced):
                await first.flush()
            await first.close(1.0)
            await second.close(1.0)

    assert {line["log_level"] for line in lines} == written
