"""Where the command finds a store that it is not told of: where the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, shown
from tests.store.server import PASSWORD


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory without a file of settings."""
    monkeypatch.chdir(tmp_path)


def systems(run: Run, *arguments: str) -> list[str]:
    return sorted(shown(run("store", "stats", "--json", *arguments))["systems"])


def test_it_looks_where_the_settings_say(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(f"SURREALDB_URL={url}\n")
    assert systems(run) == ["bank", "shop"]

    monkeypatch.setenv("SURREALDB_URL", "surrealkv:///nowhere/at/all")
    assert run("store", "stats").exit_code == 2
    monkeypatch.setenv("SENTIENT_STORE", url)
    assert systems(run) == ["bank", "shop"]
    monkeypatch.setenv("SENTIENT_STORE", "surrealkv:///nowhere/at/all")
    assert systems(run, "--store", url) == ["bank", "shop"]


def test_the_database_is_the_one_of_the_settings_unless_it_is_named(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SURREALDB_DATABASE", "another")

    assert "sentient_core/another" in run("store", "stats", "--store", url).stderr
    assert systems(run, "--store", url, "--database", "agents") == ["bank", "shop"]


def test_without_any_it_names_the_ways_to_say_it_and_where_systems_keep_theirs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", f"{tmp_path}/data")

    result = run("events")

    assert result.exit_code == 2
    for way in ("--store", "SENTIENT_STORE", "SURREALDB_URL", f"surrealkv://{tmp_path}/data/sentient-core/"):
        assert way in result.stderr


def test_settings_that_cannot_be_used_are_named_and_no_secret_shown(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SURREALDB_URL", f"ws://root:{PASSWORD}@host")
    result = run("events")
    assert result.exit_code == 2
    assert "SURREALDB_URL" in result.stderr
    assert PASSWORD not in result.output

    monkeypatch.delenv("SURREALDB_URL")
    monkeypatch.setenv("SURREALDB_PASSWORD", PASSWORD)
    result = run("events", "--store", url)
    assert result.exit_code == 2
    assert "SURREALDB_USERNAME is missing" in result.stderr
    assert PASSWORD not in result.output
