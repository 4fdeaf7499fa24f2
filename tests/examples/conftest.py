"""Documents to make a site of, and a place for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.site.faults import FaultPlan
from examples.site.plan import Source
from examples.site.run import Job
from tests.examples.documents import write_documents


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of Markdown."""
    return write_documents(tmp_path / "source")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where its site goes; not there yet."""
    return tmp_path / "site"


@pytest.fixture
def job(source: Path, out: Path) -> Job:
    """To make its site without any disturbance."""
    return Job(Source(str(source)), out, f"surrealkv://{out}.db", FaultPlan(0, 0.0))
