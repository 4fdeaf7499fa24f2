"""The command as people run it: what it prints where, how it ends, what it leaves alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from sentient_core.store import SurrealStore
from sentient_core.store.engine import Engine
from sentient_core.store.url import parse_url
from tests.cli.conftest import Run, change, files, shown
from tests.store.samples import Faults, event, is_rows, is_settlement


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "sentient_core", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_verb_waits_for_no_imports_of_others() -> None:
    code = (
        "import sys, sentient_core.cli; "
        "print(*{'sentient_core.testing', 'sentient_core.bench', 'pytest', 'matplotlib'} & {*sys.modules})"
    )

    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "\n"


def test_the_store_of_a_killed_process_is_looked_at_without_touching_it(tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path}/store"
    child = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD, url], capture_output=True, timeout=60, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    before = files(tmp_path)

    done = command("store", "stats", "--store", url, "--json")

    assert (done.returncode, done.stderr) == (0, "")
    bank = json.loads(done.stdout)["systems"]["bank"]
    assert bank["tables"]["agent_event"]["rows"] == 20
    assert not bank["is_clean"]
    assert files(tmp_path) == before


_CHILD = """
import sys
from anyio import run
from tests.cli.test_command import write_and_die
run(write_and_die, sys.argv[1])
"""


async def write_and_die(url: str) -> None:
    journal = await SurrealStore(url).open_journal("bank")
    for seq in range(1, 21):
        journal.append(event(seq))
    await journal.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def test_it_is_a_program_with_help_and_version() -> None:
    program = Path(sys.executable).with_name("sentient")
    arguments = [str(program)] if program.exists() else [sys.executable, "-P", "-m", "sentient_core"]

    for option in ("--help", "--version"):
        done = subprocess.run([*arguments, option], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "sentient" in done.stdout


def test_a_store_in_use_is_refused(run: Run, url: str) -> None:
    async def look() -> None:
        async with SurrealStore(url) as store:
            await store.agents("bank")
            result = await anyio.to_thread.run_sync(partial(run, "store", "stats", "--store", url))
            assert result.exit_code == 2
            assert "in use by another process" in result.stderr
            assert result.stdout == ""

    anyio.run(look)


def test_a_store_that_is_opened_while_it_is_copied_is_refused(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copytree(*arguments: Any, **options: Any) -> Any:
        copied = real(*arguments, **options)
        with (tmp_path / "store" / "wal" / "new").open("wb") as file:
            file.write(b"written meanwhile")
        return copied

    real = shutil.copytree
    monkeypatch.setattr(shutil, "copytree", copytree)

    result = run("store", "stats", "--store", url)

    assert result.exit_code == 2
    assert "in use" in result.stderr


def test_no_copy_is_left_behind(run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    assert run("store", "stats", "--store", url).exit_code == 0
    assert run("events", "--store", url).exit_code == 2  # no system named
    assert run("store", "stats", "--store", f"surrealkv://{tmp_path}/tmp").exit_code == 2

    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "verb",
    [
        ["store", "stats"],
        ["events"],
        ["letters"],
        ["backup", "NEW"],
        ["checkpoint", "verify", "--app", "tests.probes"],
    ],
    ids=lambda verb: verb[0],
)
@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("surrealkv://AT/nowhere/at/all", "nothing is there"),
        ("surrealkv://AT/FILE", "not the directory of a database"),
        ("surrealkv://AT/", "not the directory of a database"),
        ("surrealkv://AT/OTHER", "without the tables of sentient-core"),
        ("surrealkv://AT/NEWER", "schema version 99"),
        ("mem://", "nothing to look at"),
        ("my.db", "it has no scheme"),
        ("sqlite://x", "unknown scheme"),
        ("surrealkv://x?sync=often", "sync=often"),
    ],
    ids=lambda value: value.replace("/", "-") if "://" in value else "",
)
def test_what_is_no_store_of_ours_is_refused(
    run: Run, tmp_path: Path, verb: list[str], address: str, complaint: str
) -> None:
    if "FILE" in address:
        (tmp_path / "FILE").write_text("no database")
    if "OTHER" in address:
        anyio.run(_make_other, f"surrealkv://{tmp_path}/OTHER")
    if "NEWER" in address:
        change(f"surrealkv://{tmp_path}/NEWER", "UPDATE store_schema SET version = 99")
    url = address.replace("AT/", f"{tmp_path}/")
    before = files(tmp_path)

    result = run(*(word.replace("NEW", f"{tmp_path}/new") for word in verb), "--store", url)

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""
    assert files(tmp_path) == before


async def _make_other(url: str) -> None:
    async def nothing(engine: Engine) -> None:
        await engine.query("CREATE mine SET a = 1")

    engine = Engine(parse_url(url))
    engine.start(nothing)
    await engine.opened()
    await engine.stop()


def test_without_a_store_it_says_what_is_missing(run: Run) -> None:
    result = run("events")

    assert result.exit_code == 2
    assert "--store" in result.stderr


def test_a_system_has_to_be_named_where_there_are_several(run: Run, url: str) -> None:
    for arguments, complaint in (([], "bank, shop"), (["--system", "bunk"], "no system 'bunk'")):
        result = run("events", "--store", url, *arguments)
        assert result.exit_code == 2
        assert complaint in result.stderr


def test_events_newest_first_and_by_filter(run: Run, url: str) -> None:
    at = ("--store", url, "--system", "bank", "--json")

    newest = shown(run("events", *at, "--limit", 3))
    assert [found["event_id"] for found in newest] == ["1.42", "1.41", "1.40"]
    assert len(shown(run("events", *at, "--type", "actor_started"))) == 1
    assert len(shown(run("events", *at, "--agent", "team/b", "--message-type", "Deposit"))) == 40
    (wild,) = shown(run("events", *at, "--agent", "team/δ"))
    assert wild["payload"]["huge"] == 2**64 - 1

    table = run("events", "--store", url, "--system", "bank")
    assert table.exit_code == 0
    assert "\x1b" not in table.stdout
    assert "[red]" in table.stdout
    assert run("events", "--store", url, "--system", "bank", "--agent", "x").stderr == "no events\n"


def test_letters_by_filter(run: Run, url: str) -> None:
    at = ("--store", url, "--system", "bank")

    assert [found["message_id"] for found in shown(run("letters", *at, "--json"))] == ["1.2", "1.1"]
    assert len(shown(run("letters", *at, "--json", "--status", "open"))) == 1
    assert shown(run("letters", *at, "--json", "--until", "2001-01-01")) == []
    assert len(shown(run("letters", *at, "--json", "--since", "2001-01-01T00:00+02:00"))) == 2
    table = run("letters", *at)
    assert table.exit_code == 0
    assert "[bold]no\\nroom" in table.stdout
    for option, value in (("--since", "yesterday"), ("--reason", "because"), ("--limit", "0")):
        assert run("letters", *at, option, value).exit_code == 2


def test_stats_count_rows_what_was_pruned_and_what_waits(run: Run, url: str) -> None:
    found = shown(run("store", "stats", "--store", url, "--json"))

    bank = found["systems"]["bank"]
    assert bank["tables"]["agent_event"]["rows"] == 42
    assert bank["tables"]["agent_event"]["pruned_rows"] == 1
    assert bank["tables"]["state_checkpoint"]["rows"] == 4
    assert bank["tables"]["state_checkpoint"]["bytes"] > 2 * 76_800
    assert (bank["epoch"], bank["is_clean"], bank["tail_entries"]) == (1, True, 0)
    assert found["systems"]["shop"]["tables"]["agent_event"]["rows"] == 1
    assert found["disk_bytes"] > found["bytes"] > 150_000

    table = run("store", "stats", "--store", url)
    assert "bank: 1 start, the last one ended in order" in table.stdout
    assert "on disk" in table.stdout


def test_while_the_tail_is_long_no_ratio_is_told(run: Run, tmp_path: Path) -> None:
    async def leave_a_tail() -> None:
        faults = Faults()
        async with SurrealStore(url, connect=faults.connect) as store:
            journal = await store.open_journal("bank")
            journal.append(event(1))
            await journal.flush()
            faults.fail = lambda request: is_rows(request) or is_settlement(request)
            for seq in range(2, 102):
                journal.append(event(seq))
            await journal.committed()
            await journal.close(0.0)

    async def end_in_order() -> None:
        async with SurrealStore(url) as store:
            journal = await store.open_journal("bank")
            await journal.close(10.0)

    url = f"surrealkv://{tmp_path}/tailed"
    anyio.run(leave_a_tail)
    found = shown(run("store", "stats", "--store", url, "--json"))["systems"]["bank"]
    assert found["tail_records"] >= 100
    assert found["write_amplification"] is None
    assert "without the tail" in run("store", "stats", "--store", url).stdout

    anyio.run(end_in_order)
    found = shown(run("store", "stats", "--store", url, "--json"))["systems"]["bank"]
    assert found["tail_records"] == 0
    assert found["write_amplification"] > 1
    assert "times" in run("store", "stats", "--store", url).stdout


def test_a_broken_journal_entry_is_exit_code_1(run: Run, url: str) -> None:
    change(url, "UPDATE journal SET is_broken = true")

    result = run("store", "stats", "--store", url)

    assert result.exit_code == 1
    assert "could not be read" in result.stderr
