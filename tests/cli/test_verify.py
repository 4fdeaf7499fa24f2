"""`sentient checkpoint verify`: what it loads, what it finds, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import Actor, ActorRef, ActorSystem, ChildSpec, Supervisor, handles, upcast
from sentient_core.codec import digest
from sentient_core.store import JournalOptions, SurrealStore
from sentient_core.store import every_checkpoint as reading
from sentient_core.store.deltas import Deltas
from sentient_core.store.records import AnyPart, AnyRecord, CheckpointKind, Entry, Forgotten, Turn
from sentient_core.store.tail import encode_entry
from tests.cli.conftest import Run, change, files, packed, shown
from tests.probes import Save
from tests.store.samples import checkpoint, status

HERE = "tests.cli.test_verify"


class Account(Actor, tag="Account"):
    class State(msgspec.Struct):
        total: int = 0
        friend: ActorRef[Actor[Any]] | None = None

    state: State

    @handles
    async def save(self, message: Save) -> str:
        self.state.total += 1
        self.state.friend = self.context.ref
        return await self.checkpoint()


class Bank(Supervisor):
    children = (ChildSpec(Account, name="alice"),)


class Second:
    """The code of the next release."""

    class Account(Actor, tag="Account"):
        schema_version = 2

        class State(msgspec.Struct):
            cents: int = 0

        @staticmethod
        @upcast(1)
        def _to_cents(state: dict[str, Any]) -> dict[str, Any]:
            return {"cents": state["total"] * 100}


class Broken:
    """One that has forgotten something."""

    class Account(Actor, tag="Account"):
        class State(msgspec.Struct):
            total: str = ""


class Stateless:
    class Account(Actor, tag="Account"):
        pass


class Gone(Actor, tag="Gone"):
    class State(msgspec.Struct):
        total: int = 0


class Heir(Actor, tag="Heir", aliases=("Account",)):
    class State(msgspec.Struct):
        total: int = 0


CLASSES = [Account, Gone]
NO_CLASSES = [Account, 3]


def account(path: str, number: int, total: object = 1, **changes: Any) -> AnyPart:
    state = packed({"total": total})
    fields = {"tag": "Account.State", "state": state, "digest": digest(state)} | changes
    return checkpoint(path, number, checkpoint_id=f"1.{number}", **fields)


async def write(url: str, *records: AnyRecord, system: str = "bank") -> None:
    async with SurrealStore(url) as store:
        journal = await store.open_journal(system, options=JournalOptions(retention=None))
        for record in records:
            journal.append(record)
        await journal.close(10.0)


@pytest.fixture
def bank(tmp_path: Path) -> str:
    """A store of two actors, with three checkpoints each, one of them named."""
    url = f"surrealkv://{tmp_path}/store"
    records: list[AnyRecord] = []
    for path in ("bank/alice", "bank/bob"):
        records.append(status(path, kind="Account"))
        records += [account(path, number) for number in (1, 2)]
        records.append(account(path, 3, kind=CheckpointKind.NAMED))
    anyio.run(partial(write, url, *records))
    return url


def verify(run: Run, url: str, *arguments: object, app: str = "Account") -> Any:
    return run("checkpoint", "verify", "--store", url, "--app", f"{HERE}:{app}", *arguments)


def failures(result: Any) -> list[tuple[str, str, str]]:
    """Path, checkpoint and reason of each; the exit code says the same."""
    found = json.loads(result.stdout)
    assert result.exit_code == (1 if found["failed"] else 0), result.output
    return [(one["path"], one["checkpoint_id"], one["reason"]) for one in found["failures"]]


def test_code_that_loads_all_of_them_is_exit_code_0(run: Run, bank: str, tmp_path: Path) -> None:
    before = files(tmp_path)

    found = shown(verify(run, bank, "--json"))

    assert found == {
        "checkpoints": 6,
        "failed": 0,
        "ignored": 0,
        "versions": {"Account": {"1": 6}},
        "failures": [],
    }
    assert files(tmp_path) == before
    words = verify(run, bank)
    assert words.stdout.splitlines() == ["Account: 6 of version 1", "6 checkpoints, 0 cannot be loaded"]


def test_upcasters_are_what_a_new_release_needs(run: Run, bank: str) -> None:
    assert failures(verify(run, bank, "--json", app="Second.Account")) == []


def test_every_one_that_the_code_does_not_load_is_told_with_its_reason(run: Run, bank: str) -> None:
    found = failures(verify(run, bank, "--json", app="Broken.Account"))

    assert [(path, id_) for path, id_, _ in found] == [
        (path, f"1.{number}") for path in ("bank/alice", "bank/bob") for number in (1, 2, 3)
    ]
    assert all("write @upcast(1)" in reason for _, _, reason in found)
    table = verify(run, bank, "--limit", 4, app="Broken.Account")
    assert table.exit_code == 1
    assert table.stdout.count("does not fit the State") == 4
    assert "6 checkpoints, 6 cannot be loaded" in table.stdout
    assert "2 more failed" in table.stderr


def test_one_that_is_not_the_newest_counts_as_well(run: Run, bank: str) -> None:
    state = packed({"total": "many"})
    anyio.run(partial(write, bank, account("bank/carol", 4, state=state, digest=digest(state))))
    anyio.run(partial(write, bank, account("bank/carol", 5), status("bank/carol", kind="Account")))

    ((path, id_, reason),) = failures(verify(run, bank, "--json"))

    assert (path, id_) == ("bank/carol", "1.4")
    assert "total" in reason


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("UPDATE state_checkpoint SET state = <bytes>'edited' WHERE {one}", "do not match its digest"),
        ("UPDATE state_checkpoint SET digest = <bytes>'edited' WHERE {one}", "do not match its digest"),
        ("UPDATE state_checkpoint SET schema_version = 7 WHERE {one}", "newer code wrote it"),
        ("UPDATE state_checkpoint SET tag = 'Konto.State' WHERE {one}", r"aliases=('Konto',)"),
        ("UPDATE state_checkpoint SET kind = 'odd' WHERE {one}", "its kind is none that there is"),
    ],
    ids=["state", "digest", "version", "tag", "kind"],
)
def test_one_that_was_edited_by_hand_is_found(run: Run, bank: str, sql: str, complaint: str) -> None:
    change(bank, sql.replace("{one}", "checkpoint_id = '1.2' AND agent_id = 'bank/bob'"))

    ((path, id_, reason),) = failures(verify(run, bank, "--json"))

    assert (path, id_) == ("bank/bob", "1.2")
    assert complaint in reason


def test_rows_that_cannot_be_found_are_told(run: Run, bank: str) -> None:
    change(bank, "UPDATE state_checkpoint SET agent_id = '' WHERE checkpoint_id = '1.2'")

    ((_, _, reason),) = failures(verify(run, bank, "--json"))

    assert "2 rows are not found" in reason


def test_a_class_that_the_code_does_not_have_is_a_failure_unless_it_is_ignored(run: Run, bank: str) -> None:
    ((_, _, reason), *others) = failures(verify(run, bank, "--json", app="Gone"))

    assert len(others) == 5
    assert "--ignore Account" in reason
    assert "aliases=('Account',)" in reason
    ignored = shown(verify(run, bank, "--json", "--ignore", "Account", app="Gone"))
    assert (ignored["checkpoints"], ignored["ignored"], ignored["versions"]) == (6, 6, {})
    assert "6 ignored" in verify(run, bank, "--ignore", "Account", app="Gone").stdout


def test_a_class_under_another_name_is_found_by_its_alias(run: Run, bank: str) -> None:
    assert failures(verify(run, bank, "--json", app="Heir")) == []


def test_a_class_that_has_no_state_any_more_is_a_failure(run: Run, bank: str) -> None:
    ((_, _, reason), *_) = failures(verify(run, bank, "--json", app="Stateless.Account"))

    assert "declares no State" in reason


def test_without_a_row_of_the_actor_its_state_says_of_which_class_it_is(run: Run, bank: str) -> None:
    change(bank, "DELETE agent_state")

    assert failures(verify(run, bank, "--json")) == []
    ((_, _, reason), *_) = failures(verify(run, bank, "--json", app="Gone"))
    assert "no class in the code has a State 'Account.State'" in reason


def test_all_systems_are_looked_at_or_the_one_that_is_named(run: Run, bank: str) -> None:
    anyio.run(partial(write, bank, account("shop", 9, "bad"), status("shop", kind="Account"), system="shop"))

    assert [path for path, _, _ in failures(verify(run, bank, "--json"))] == ["shop"]
    assert failures(verify(run, bank, "--json", "--system", "bank")) == []
    assert verify(run, bank, "--system", "nobody").exit_code == 2


def test_more_than_a_page_is_read_whole_and_in_bounded_pages(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"surrealkv://{tmp_path}/store"
    records: list[AnyRecord] = []
    for number in range(1, 1_301):
        path = f"team/{number % 650}"
        large = packed({"total": 1, "pad": b"x" * 300_000}) if number % 100 == 0 else None
        changes: dict[str, Any] = {} if large is None else {"state": large, "digest": digest(large)}
        total = "bad" if number in (1, 650, 1_299) else number
        records += [status(path, kind="Account"), account(path, number, total, **changes)]
    anyio.run(partial(write, url, *records))
    sizes: list[int] = []
    page = reading.CheckpointReader.page

    async def measured(self: reading.CheckpointReader) -> Any:
        found = await page(self)
        sizes.append(sum(len(one.checkpoint.state) for one in found if one.checkpoint is not None))
        return found

    monkeypatch.setattr(reading, "PAGE_BYTES", 1_000_000)
    monkeypatch.setattr(reading.CheckpointReader, "page", measured)

    result = verify(run, url, "--json")

    assert json.loads(result.stdout)["checkpoints"] == 1_300
    assert sorted(id_ for _, id_, _ in failures(result)) == ["1.1", "1.1299", "1.650"]
    assert max(sizes) <= 1_000_000
    assert sum(sizes) > 3_900_000


@pytest.mark.parametrize("rows", [1, 2, 4, 7])
def test_wherever_the_pages_end_each_is_read_once(
    run: Run, bank: str, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    named = [account("bank/carol", number, kind=CheckpointKind.NAMED) for number in range(4, 10)]
    anyio.run(
        partial(write, bank, status("bank/carol", kind="Account"), *named, account("bank/dan", 10, "bad"))
    )
    for number in (11, 12):
        anyio.run(
            partial(leave, bank, status("bank/eve", kind="Account"), account("bank/eve", number, "bad"))
        )
    monkeypatch.setattr(reading, "_PAGE_ROWS", rows)
    monkeypatch.setattr(reading, "_SPAN", rows)

    result = verify(run, bank, "--json")

    assert json.loads(result.stdout)["checkpoints"] == 15
    assert [id_ for _, id_, _ in failures(result)] == ["1.11", "1.12", "1.10"]


def test_what_waits_in_the_journal_is_looked_at_as_well(run: Run, bank: str) -> None:
    anyio.run(partial(leave, bank, status("bank/carol", kind="Account"), account("bank/carol", 7, "bad")))
    anyio.run(partial(leave, bank, status("bank/bob", kind="Gone"), account("bank/carol", 8)))

    found = {(path, id_) for path, id_, _ in failures(verify(run, bank, "--json", "--ignore", "Gone"))}

    assert found == {("bank/carol", "1.7")}
    assert shown(verify(run, bank, "--json", "--ignore", "Gone", "--ignore", "Account"))["ignored"] == 8


def test_the_states_of_durable_actors_are_looked_at_too(run: Run, bank: str) -> None:
    state = CheckpointKind.STATE
    anyio.run(
        partial(
            write, bank, account("till/a", 7, kind=state), Turn((account("till/b", 8, "bad", kind=state),))
        )
    )
    anyio.run(partial(leave, bank, Turn((account("till/a", 9, "bad", kind=state),))))

    found = [(path, id_) for path, id_, _ in failures(verify(run, bank, "--json"))]

    assert found == [("till/a", "1.9"), ("till/b", "1.8")]


def large(path: str, number: int, total: object = 1) -> AnyPart:
    """A state that is written as what has changed of the one before."""
    state = packed({"pad": b"x" * 20_000, "total": total})
    return account(path, number, kind=CheckpointKind.STATE, state=state, digest=digest(state))


async def take_turns(url: str, *states: AnyPart) -> None:
    """Write states in a turn and a commit each."""
    async with SurrealStore(url) as store:
        journal = await store.open_journal("bank", options=JournalOptions(retention=None))
        for state in states:
            journal.append(Turn((state,)))
            await journal.committed()
        await journal.close(10.0)


def test_what_large_states_have_become_is_looked_at_as_one_with_them(
    run: Run, bank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_rows = [large("till/a", 1), large("till/a", 2), large("till/b", 1), large("till/b", 2, "bad")]
    anyio.run(partial(take_turns, bank, *of_rows, large("till/c", 1), large("till/d", 1)))
    for path in ("till/c", "till/e", "till/f"):  # the whole one of c is in a row
        base, *deltas = Deltas().shortened([large(path, 1), large(path, 2), large(path, 3, "bad")])
        for record in deltas if path == "till/c" else (base, *deltas):
            anyio.run(partial(leave, bank, record))
    anyio.run(partial(leave, bank, large("till/f", 4)))
    monkeypatch.setattr(reading, "PAGE_BYTES", 30_000)

    result = verify(run, bank, "--json")

    found = [(path, id_) for path, id_, _ in failures(result)]
    assert found == [("till/c", "1.3"), ("till/e", "1.3"), ("till/b", "1.2")]
    # One of each in the rows; in the journal, the last of c, and of e and f what is whole as well.
    assert json.loads(result.stdout)["checkpoints"] == 6 + 4 + 1 + 2 + 2


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE {row} SET state = <bytes>'edited' WHERE kind = 'state'",
        "UPDATE {row} SET state = <bytes>'edited' WHERE kind = 'delta'",
        "UPDATE {row} SET base = '1.7' WHERE kind = 'delta'",
        "DELETE {row} WHERE kind = 'state'",
    ],
    ids=["state", "delta", "base", "no state"],
)
def test_one_half_of_a_large_state_that_was_edited_is_found(run: Run, bank: str, sql: str) -> None:
    anyio.run(partial(take_turns, bank, large("till/a", 1), large("till/a", 2)))
    change(bank, sql.replace("{row}", "state_checkpoint:['bank', 'till/a', '']..=['bank', 'till/a', []]"))

    ((path, id_, reason),) = failures(verify(run, bank, "--json"))

    assert (path, id_) == ("till/a", "1.2")
    assert "do not match its digest" in reason


def test_what_is_forgotten_does_not_count_any_more(run: Run, bank: str) -> None:
    anyio.run(partial(leave, bank, account("bank/carol", 7, "bad"), Forgotten("bank/alice")))
    anyio.run(
        partial(
            leave, bank, Forgotten("bank/carol"), account("bank/carol", 8), account("bank/alice", 9, "bad")
        )
    )
    change(bank, "UPDATE ownership SET is_forgotten = true WHERE id[1] = 'bank/bob'")

    result = verify(run, bank, "--json")

    assert [id_ for _, id_, _ in failures(result)] == ["1.9"]
    assert json.loads(result.stdout)["checkpoints"] == 2


def test_a_journal_entry_that_cannot_be_read_is_a_failure(run: Run, bank: str) -> None:
    anyio.run(partial(leave, bank, account("bank/carol", 7)))
    change(bank, "UPDATE journal SET body = <bytes>'edited' WHERE records = 99")

    ((_, _, reason),) = failures(verify(run, bank, "--json"))

    assert "cannot be read" in reason


async def leave(url: str, *records: AnyRecord) -> None:
    """Commit something that nobody has projected."""
    async with SurrealStore(url) as store:
        numbers: list[list[int | None]] = await store.query(
            "SELECT VALUE id[1] FROM journal; SELECT VALUE projected FROM ownership"
        )
        await store.query(
            "CREATE type::record('journal', $key) SET body = $body, writer = 'w', keep = false, "
            "records = 99, weight = 1",
            key=["bank", max(number or 0 for found in numbers for number in found) + 1],
            body=encode_entry(Entry(1, records)),
        )


def test_refs_in_states_are_those_of_the_system(run: Run, tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path}/store"

    async def live() -> None:
        async with ActorSystem("bank", store=url) as system:
            await system.spawn(Bank, name="bank")
            await system.get("bank/alice").ask(Save(), timeout=10)

    anyio.run(live)

    assert failures(verify(run, url, "--json")) == []


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        ("no.such.module", "cannot be imported: ModuleNotFoundError"),
        (f"{HERE}:Nothing", "no attribute 'Nothing'"),
        (f"{HERE}:NO_CLASSES", "not an actor class or a collection of them"),
        (f"{HERE}:HERE", "not an actor class"),
        (f"{HERE}:verify", "not an actor class"),
        ("", "cannot be imported"),
        ("ends_itself", "cannot be imported: SystemExit: 3"),
    ],
    ids=["module", "attribute", "mixed", "text", "function", "nothing", "exits"],
)
def test_an_app_that_cannot_be_used_is_exit_code_2(
    run: Run, bank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: str, complaint: str
) -> None:
    (tmp_path / "ends_itself.py").write_text("import sys; sys.exit(3)")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    result = run("checkpoint", "verify", "--store", bank, "--app", app)

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""


def test_an_app_is_needed(run: Run, bank: str) -> None:
    result = run("checkpoint", "verify", "--store", bank)

    assert result.exit_code == 2
    assert "--app" in result.stderr


@pytest.mark.parametrize("attribute", ["CLASSES", "Second.Account"])
def test_an_attribute_is_a_class_or_several(run: Run, bank: str, attribute: str) -> None:
    assert verify(run, bank, app=attribute).exit_code == 0


_CODE = """
from sentient_core import Actor
import msgspec

print("a word on stdout")

class Account(Actor):
    class State(msgspec.Struct):
        total: int = 0
"""


def test_as_people_run_it_a_module_stands_for_all_its_classes(bank: str, tmp_path: Path) -> None:
    (tmp_path / "accounts.py").write_text(_CODE)
    (tmp_path / "service.py").write_text("import accounts")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-P", "-m", "sentient_core", "checkpoint", "verify", *arguments]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    done = run("--store", bank, "--app", "service", "--json")
    assert (done.returncode, json.loads(done.stdout)["failed"]) == (0, 0), done.stderr
    assert done.stderr == "a word on stdout\n"

    (tmp_path / "accounts.py").write_text(_CODE.replace("int = 0", "str = ''"))
    assert run("--store", bank, "--app", "service").returncode == 1
    (tmp_path / "accounts.py").write_text("")
    nobody = run("--store", bank, "--app", "service")
    assert nobody.returncode == 2
    assert "no actor class" in nobody.stderr
