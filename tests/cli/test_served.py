"""The command on a server: who comes in, what is left alone, one moment of a store that is written to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from sentient_core import ActorSystem
from sentient_core.cli.opening import to_read
from sentient_core.cli.output import Reporter
from sentient_core.errors import RestoreUnfinished
from sentient_core.store import JournalOptions
from sentient_core.store.schema import TABLES
from sentient_core.store.server import check_version
from sentient_core.store.snapshot import SnapshotClient
from sentient_core.store.wire import read_raw
from tests.cli.conftest import Run, fill, place, shown
from tests.long import few
from tests.probes import Add, Total
from tests.probes import Counter as Counting
from tests.store.samples import dead_letter, event, status
from tests.store.server import PASSWORD, USER, Server, make_certificate

pytestmark = pytest.mark.usefixtures("signed_in")

SCHEMES = ("ws", "http")
OF_ONE_SYSTEM = ("events", "letters", "audit", "history")
VERBS = (
    ["store", "stats"],
    ["events"],
    ["letters"],
    ["audit"],
    ["history", "ACTOR"],
    ["checkpoint", "verify", "--app", "tests.probes", "--ignore", "Worker"],
    ["backup", "FILE"],
)
WAYS = (["events"], ["backup", "FILE"])
"""The two ways to a server, one of which every verb takes: question by question, and one moment."""
NAMES = [table.name for table in TABLES]


@pytest.fixture(params=few(SCHEMES, 1))
def scheme(request: pytest.FixtureRequest) -> str:
    """How the server is spoken to."""
    name: str = request.param
    return name


@pytest.fixture
def database(server: Server) -> str:
    """A database of the shared server that holds the systems `bank` and `shop`."""
    name = server.fresh_database()
    anyio.run(partial(fill, server.url(), username=USER, password=PASSWORD, database=name))
    return name


def rows(url: str, database: str) -> dict[str, Any]:
    """All rows of a store, with their tags."""

    async def read() -> dict[str, Any]:
        async with to_read(place(url, database), Reporter()) as engine:
            found = await engine.thread.run(
                lambda: engine.query("; ".join(f"SELECT * FROM {name}" for name in NAMES), read=read_raw)
            )
        return dict(zip(NAMES, found, strict=True))

    return anyio.run(read)


def ask(server: Server, sql: str, **settings: Any) -> list[Any]:
    """Ask the server by other means than the command's."""

    async def query() -> list[Any]:
        async with server.store(**settings) as store:
            return await store.query(sql)

    return anyio.run(query)


def named(words: list[str], directory: Path, actor: str = "team/a") -> list[str]:
    return [word.replace("FILE", str(directory / "file")).replace("ACTOR", actor) for word in words]


# Looking


def test_every_verb_looks_at_a_server(run: Run, server: Server, scheme: str, database: str) -> None:
    at = ("--store", server.url(scheme), "--database", database)

    found = shown(run("store", "stats", *at, "--json"))
    events = shown(run("events", *at, "--system", "bank", "--json"))
    letters = shown(run("letters", *at, "--system", "bank", "--json"))

    assert found["systems"]["bank"]["tables"]["agent_event"]["rows"] == len(events) == 42
    assert found["disk_bytes"] is None
    assert found["systems"]["bank"]["write_amplification"] > 1
    assert [letter["message_id"] for letter in letters] == ["1.2", "1.1"]
    table = run("store", "stats", *at).stdout
    assert "tail: empty" in table
    assert "times" in table


def test_namespace_and_database_come_from_the_environment(
    run: Run, server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SURREALDB_NAMESPACE", "sentient_core")
    monkeypatch.setenv("SURREALDB_DATABASE", database)
    monkeypatch.setenv("SENTIENT_STORE", server.url())

    assert len(shown(run("events", "--system", "shop", "--json"))) == 1


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_looking_writes_nothing(
    run: Run, server: Server, database: str, verb: list[str], tmp_path: Path
) -> None:
    scheme = SCHEMES[VERBS.index(verb) % 2]
    ask(server, "REMOVE INDEX event_type_idx ON agent_event; REMOVE TABLE memo", database=database)
    before = everything(server, database)
    system = ["--system", "bank"] if verb[0] in OF_ONE_SYSTEM else []

    result = run(*named(verb, tmp_path), *system, "--store", server.url(scheme), "--database", database)

    assert result.exit_code == 0, result.output
    assert everything(server, database) == before


def everything(server: Server, database: str) -> object:
    """All there is in a database, by requests that make nothing: definitions and rows."""
    url = server.url()

    async def read() -> object:
        async with to_read(place(url, database), Reporter(), any_version=True) as engine:
            (info,) = await engine.thread.run(lambda: engine.query("INFO FOR DB", read=read_raw))
            found = await engine.thread.run(
                lambda: engine.query(
                    "; ".join(f"INFO FOR TABLE {name}; SELECT * FROM {name}" for name in info["tables"]),
                    read=read_raw,
                )
            )
        return info, found

    return anyio.run(read)


def test_a_user_who_may_only_look_can_look(
    run: Run, server: Server, scheme: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(server, "DEFINE USER looks ON DATABASE PASSWORD 'l' ROLES VIEWER", database=database)
    monkeypatch.setenv("SURREALDB_PASSWORD", "l")
    at = ("--store", server.url(scheme), "--database", database, "--username", "looks")

    for verb in VERBS:
        system = ["--system", "bank"] if verb[0] in OF_ONE_SYSTEM else []
        result = run(*named(list(verb), tmp_path), *system, *at)
        assert result.exit_code == 0, result.output
    refused = run("restore", tmp_path / "file", *at)
    assert refused.exit_code == 2
    assert "OWNER or EDITOR" in refused.stderr


# What cannot be worked with


@pytest.mark.parametrize("verb", [*WAYS, ["restore", "THERE"]], ids=lambda verb: verb[0])
@pytest.mark.parametrize(
    ("username", "password", "complaint"),
    [
        (USER, "Wr0ng-and-secret", "no such user with this password"),
        (None, None, "lets nobody in without signing in"),
        (USER, None, "SURREALDB_PASSWORD is missing"),
        (None, "Wr0ng-and-secret", "SURREALDB_USERNAME is missing"),
    ],
    ids=["wrong", "nobody", "no password", "no user"],
)
def test_who_is_not_let_in_is_told_so_and_no_password_is_shown(
    run: Run,
    server: Server,
    scheme: str,
    verb: list[str],
    username: str | None,
    password: str | None,
    complaint: str,
    a_backup: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("SURREALDB_USERNAME", username), ("SURREALDB_PASSWORD", password)):
        monkeypatch.delenv(name)
        if value is not None:
            monkeypatch.setenv(name, value)
    words = [str(a_backup) if word == "THERE" else word for word in named(verb, tmp_path)]

    result = run(*words, "--store", server.url(scheme), "--database", "nobodys")

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "secret" not in result.output
    assert PASSWORD not in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "file").exists()


@pytest.fixture(scope="session")
def a_backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The backup of an embedded store."""
    directory = tmp_path_factory.mktemp("backup")
    url = f"surrealkv://{directory}/store"
    anyio.run(partial(fill, url))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "sentient_core", "backup", str(directory / "b"), "--store", url],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory / "b"


@pytest.mark.parametrize("verb", WAYS, ids=lambda verb: verb[0])
def test_a_namespace_or_database_that_is_not_there_is_not_made(
    run: Run, server: Server, scheme: str, verb: list[str], tmp_path: Path
) -> None:
    at = ("--store", server.url(scheme))

    for options, complaint in (
        (("--namespace", "nowhere"), "namespace 'nowhere' does not exist"),
        (("--namespace", "main", "--database", "nowhere"), "database 'nowhere' does not exist"),
    ):
        result = run(*named(verb, tmp_path), *at, *options)
        assert result.exit_code == 2
        assert complaint in result.stderr

    (info,) = ask(server, "INFO FOR ROOT", database=server.fresh_database())
    assert "nowhere" not in info["namespaces"]
    (_, info) = ask(server, "USE NS main; INFO FOR NS", database=server.fresh_database())
    assert "nowhere" not in info["databases"]


@pytest.mark.parametrize("verb", WAYS, ids=lambda verb: verb[0])
def test_a_database_of_somebody_else_or_a_newer_release_is_refused(
    run: Run, server: Server, scheme: str, verb: list[str], tmp_path: Path
) -> None:
    other, newer = server.fresh_database(), server.fresh_database()
    ask(server, "REMOVE TABLE store_schema", database=other)
    ask(server, "UPDATE store_schema SET version = 99", database=newer)

    for database, complaint in ((other, "without the tables of sentient-core"), (newer, "schema version 99")):
        result = run(*named(verb, tmp_path), "--store", server.url(scheme), "--database", database)
        assert result.exit_code == 2
        assert complaint in result.stderr


def test_a_store_of_an_older_release_is_backed_up_and_otherwise_left_to_the_next_start(
    run: Run, server: Server, scheme: str, database: str, tmp_path: Path
) -> None:
    ask(server, "UPDATE store_schema SET version = 1; REMOVE TABLE pruned", database=database)
    at = ("--store", server.url(scheme), "--database", database)

    for verb in VERBS[:-1]:
        result = run(*verb, *at)
        assert result.exit_code == 2
        assert "schema version 1 of an older release" in result.stderr

    assert run("backup", tmp_path / "b", *at).exit_code == 0
    new = server.fresh_database()
    assert run("restore", tmp_path / "b", *at[:2], "--database", new).exit_code == 0
    assert ask_below(server, "SELECT VALUE version FROM store_schema", new) == [[1]]
    assert run("events", *at[:2], "--database", new).exit_code == 2
    ask(server, "RETURN 1", database=new)
    assert len(shown(run("events", *at[:2], "--database", new, "--system", "bank", "--json"))) == 42


@pytest.mark.parametrize("verb", WAYS, ids=lambda verb: verb[0])
def test_a_server_that_is_not_there_is_told_of(
    run: Run, scheme: str, verb: list[str], tmp_path: Path
) -> None:
    result = run(*named(verb, tmp_path), "--store", f"{scheme}://127.0.0.1:9")

    assert result.exit_code == 2
    assert "is it running?" in result.stderr
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("verb", WAYS, ids=lambda verb: verb[0])
def test_a_server_that_was_not_tried_is_refused(
    run: Run, server: Server, scheme: str, verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_old(_: str) -> None:
        check_version("surrealdb-2.3.10")

    monkeypatch.setattr("sentient_core.store.server.check_version", too_old)

    result = run(*named(verb, tmp_path), "--store", server.url(scheme))

    assert result.exit_code == 2
    assert "surrealdb-2.3.10" in result.stderr


def test_a_certificate_of_ones_own_is_trusted_by_the_environment(tmp_path: Path, a_backup: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    command = [sys.executable, "-P", "-m", "sentient_core", "restore", str(a_backup), "--store"]
    with Server(tmp_path, "--web-crt", str(certificate), "--web-key", str(key)) as own:
        for more, code, complaint in (({}, 2, "SSL_CERT_FILE"), ({"SSL_CERT_FILE": str(certificate)}, 0, "")):
            done = subprocess.run(
                [*command, own.url("wss")],
                env=os.environ | more,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == code, done.stderr
            assert complaint in done.stderr


def test_credentials_in_an_address_are_refused_and_not_repeated(run: Run) -> None:
    result = run("events", "--store", "ws://me:S3cret@127.0.0.1:9")

    assert result.exit_code == 2
    assert "S3cret" not in result.output
    assert "SURREALDB_PASSWORD" in run("events", "--help").stdout
    assert "--password" not in run("events", "--help").stdout


# While a system runs


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The event loop of the system that is looked at."""
    name: str = request.param
    return name


on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"], indirect=True)


@on_both
def test_a_running_system_is_looked_at_and_does_not_notice(
    run: Run, server: Server, scheme: str, backend: str, tmp_path: Path
) -> None:
    database = server.fresh_database()
    at = ("--store", server.url(scheme), "--database", database)

    async def main() -> None:
        async with server.store(database=database) as store, ActorSystem("bank", store=store) as system:
            ref = await system.spawn(Counting, name="a")
            for verb in VERBS:
                ref.tell(Add())
                await system.flush()
                result = await anyio.to_thread.run_sync(
                    partial(run, *named(list(verb), tmp_path, "a"), *at, "--json")
                )
                assert result.exit_code == 0, result.output
                (tmp_path / "file").unlink(missing_ok=True)
            assert await ref.ask(Total(), timeout=60) == len(VERBS)
            await system.flush()
            assert await store.query("SELECT VALUE epoch FROM ownership:['bank']") == [[1]]

    anyio.run(main, backend=backend)


@on_both
def test_a_backup_is_one_moment_of_a_store_that_is_written_to(
    run: Run, server: Server, scheme: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = server.fresh_database(), server.fresh_database()
    at = ("--store", server.url(scheme))
    pages: list[str] = []

    async def write_and_back_up() -> None:
        async with (
            server.store(database=old) as store,
            anyio.from_thread.BlockingPortal() as portal,
        ):
            journal = await store.open_journal("bank", options=JournalOptions(kept_checkpoints=2))
            written = 0

            async def write() -> None:
                nonlocal written
                for seq in range(written + 1, written + 51):
                    journal.append(event(seq))
                    if seq % 10 == 0:
                        journal.append(dead_letter(seq))
                        journal.append(status("team/a", seq))
                written += 50
                await journal.flush()  # `projected` is moved on, and the journal's entries are gone
                journal.append(event(written + 1))
                written += 1
                await journal.committed()  # and there is a tail

            def page(_: object, table: str, count: int) -> None:
                pages.append(f"{table} {count}")
                if (
                    len(pages) <= 20
                ):  # or whoever reads on and on, instead of a moment, never comes to the end
                    portal.call(write)

            await write()
            with monkeypatch.context() as patch:
                patch.setattr(Reporter, "rows", page)
                result = await anyio.to_thread.run_sync(
                    partial(run, "backup", tmp_path / "b", *at, "--database", old)
                )
            assert result.exit_code == 0, result.output
            await journal.close(5.0)

    async def go_on() -> None:
        async with server.store(database=new) as store:
            journal = await store.open_journal("bank")
            await journal.flush()
            assert journal.epoch == 2
            assert not journal.ended_cleanly
            events = [row.payload["amount"] for row in reversed(await store.events("bank", limit=100_000))]
            letters = await store.dead_letters("bank", limit=100_000)
            assert events == list(range(1, 52))
            assert len(letters) == 5
            assert journal.known["team/a"] == 50
            await journal.close(5.0)

    anyio.run(write_and_back_up, backend=backend)
    assert run("restore", tmp_path / "b", *at, "--database", new).exit_code == 0
    assert len(pages) > 4
    anyio.run(go_on, backend=backend)


def test_a_backup_whose_connection_breaks_leaves_no_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(tmp_path) as own:
        anyio.run(partial(fill, own.url(), username=USER, password=PASSWORD))
        real = SnapshotClient.execute
        asked = Counter[str]()

        async def execute(self: SnapshotClient, request: bytes) -> bytes:
            asked["requests"] += 1
            if asked["requests"] == 6:
                own.kill()
                own.start()
            return await real(self, request)

        monkeypatch.setattr(SnapshotClient, "execute", execute)
        for expected in (2, 0):
            asked["requests"] -= expected
            result = run("backup", tmp_path / "b", "--store", own.url())
            assert result.exit_code == expected, result.output
            if expected:
                assert not list(tmp_path.glob("b*"))


# From one kind of store to another


@pytest.mark.parametrize("way", ["directory to server", "server to directory", "server to server"])
def test_a_backup_goes_from_any_kind_of_store_to_any(
    run: Run, server: Server, scheme: str, url: str, database: str, way: str, tmp_path: Path
) -> None:
    served = ("--store", server.url(scheme), "--database")
    source, target = way.split(" to ")
    new = server.fresh_database()
    out = ("--store", url) if source == "directory" else (*served, database)
    back = ("--store", f"surrealkv://{tmp_path}/new") if target == "directory" else (*served, new)

    made = shown(run("backup", tmp_path / "b", *out, "--json"))
    restored = shown(run("restore", tmp_path / "b", *back, "--json"))

    before = rows(url, "agents") if source == "directory" else rows(server.url(), database)
    after = (
        rows(f"surrealkv://{tmp_path}/new", "agents") if target == "directory" else rows(server.url(), new)
    )
    assert after == before
    assert {table: count for table, count in made["rows"].items() if count} == restored["rows"]


def test_a_restore_goes_where_nothing_is_of_ours(
    run: Run, server: Server, scheme: str, database: str, a_backup: Path
) -> None:
    at = ("--store", server.url(scheme), "--database")
    before = everything(server, database)

    for options in ((), ("--again",)):
        refused = run("restore", a_backup, *at, database, *options)
        assert refused.exit_code == 2
        assert "holds rows of sentient-core" in refused.stderr
    assert everything(server, database) == before

    mine = server.fresh_database()
    ask(server, "DELETE store_schema; CREATE mine SET a = 1", database=mine)
    assert run("restore", a_backup, *at, mine).exit_code == 0
    assert len(ask(server, "SELECT * FROM mine", database=mine)[0]) == 1


def test_a_damaged_file_is_refused_before_the_server_is_asked(
    run: Run, a_backup: Path, tmp_path: Path
) -> None:
    (tmp_path / "b").write_bytes(a_backup.read_bytes()[:-1])

    result = run("restore", tmp_path / "b", "--store", "ws://127.0.0.1:9")

    assert result.exit_code == 2
    assert "digest does not match" in result.stderr


# Whole, or not at all


@pytest.mark.parametrize("page", [1, 4, 8])
def test_no_start_takes_what_a_killed_restore_has_left(
    run: Run, server: Server, scheme: str, a_backup: Path, page: int, tmp_path: Path
) -> None:
    database = server.fresh_database()
    at = ("--store", server.url(scheme), "--database", database)

    child = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD, str(page), "restore", str(a_backup), *at],
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    ((left,),) = ask_below(server, "SELECT VALUE restore_rows FROM store_schema", database)
    assert left > 0
    anyio.run(partial(start_is_refused, server, database))
    for verb in VERBS:
        looked = run(*named(list(verb), tmp_path), *at)
        assert looked.exit_code == 2
        assert "is not complete" in looked.stderr
    # Older releases refuse it as well: they know no such version.
    assert ask_below(server, "SELECT VALUE version > 999 FROM store_schema", database) == [[True]]
    refused = run("restore", a_backup, *at)
    assert refused.exit_code == 2
    assert "--again" in refused.stderr

    assert run("restore", a_backup, *at, "--again").exit_code == 0
    whole = server.fresh_database()
    assert run("restore", a_backup, *at[:2], "--database", whole).exit_code == 0
    assert rows(server.url(), database) == rows(server.url(), whole)


_CHILD = """
import os, signal, sys
from sentient_core.cli import main
from sentient_core.cli.output import Reporter
pages = int(sys.argv[1])
def rows(*_):
    global pages
    pages -= 1
    if not pages:
        os.kill(os.getpid(), signal.SIGKILL)
Reporter.rows = rows
main(sys.argv[2:])
"""


async def start_is_refused(server: Server, database: str) -> None:
    async with server.store(database=database) as store:
        with pytest.raises(RestoreUnfinished, match="--again"):
            await store.open_journal("bank")
        with pytest.raises(RestoreUnfinished):
            async with ActorSystem("shop", store=store):
                pass


def ask_below(server: Server, sql: str, database: str) -> list[Any]:
    """Ask a database that no store is opened on, by way of another one."""
    result = ask(server, f"USE DB {database}; {sql}", database=server.fresh_database())
    return result[1:]


def test_of_two_restores_the_later_one_goes_on(
    run: Run, server: Server, scheme: str, a_backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = server.fresh_database()
    at = ("--store", server.url(scheme), "--database", database)
    later: list[Any] = []

    def overtake(_: object, __: str, ___: int) -> None:
        if later:
            return
        later.append(
            subprocess.run(
                [sys.executable, "-P", "-m", "sentient_core", "restore", str(a_backup), *at, "--again"],
                capture_output=True,
                timeout=60,
                check=False,
            )
        )

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "rows", overtake)
        earlier = run("restore", a_backup, *at)

    assert earlier.exit_code == 2
    assert "another restore" in earlier.stderr
    assert later[0].returncode == 0, later[0].stderr
    assert run("events", *at, "--system", "bank").exit_code == 0


def test_a_server_that_dies_in_the_middle_of_a_restore_leaves_nothing_to_start_on(
    run: Run, scheme: str, a_backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(tmp_path) as own:
        at = ("--store", own.url(scheme), "--database", "new")
        pages: list[str] = []

        def die(_: object, table: str, __: int) -> None:
            pages.append(table)
            if len(pages) == 4:
                own.kill()

        with monkeypatch.context() as patch:
            patch.setattr(Reporter, "rows", die)
            result = run("restore", a_backup, *at)
        assert result.exit_code == 2
        assert len(pages) == 4

        own.start()
        anyio.run(partial(start_is_refused, own, "new"))
        assert run("restore", a_backup, *at, "--again").exit_code == 0
        assert len(shown(run("events", *at, "--system", "bank", "--json"))) == 42


def test_who_had_looked_before_a_restore_began_and_writes_into_it_is_found_out(
    run: Run, server: Server, a_backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = server.fresh_database()
    at = ("--store", server.url(), "--database", database)

    def intrude(_: object, table: str, ___: int) -> None:
        if table == "agent_event":
            sql = "UPSERT ownership:['intruder'] SET epoch = 1, projected = 0"
            with ThreadPoolExecutor() as elsewhere:  # this thread has an event loop
                elsewhere.submit(ask_below, server, sql, database).result()

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "rows", intrude)
        result = run("restore", a_backup, *at)

    assert result.exit_code == 2
    assert "somebody else wrote" in result.stderr
    anyio.run(partial(start_is_refused, server, database))
    assert run("restore", a_backup, *at, "--again").exit_code == 0
    assert ask(server, "SELECT * FROM ownership:['intruder']", database=database) == [[]]


def test_a_store_that_was_open_before_a_restore_began_starts_nothing_in_it(
    run: Run, server: Server, scheme: str, a_backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = server.fresh_database()
    at = ("--store", server.url(scheme), "--database", database)
    refused: list[str] = []

    async def main() -> None:
        async with (
            server.store(database=database) as store,
            anyio.from_thread.BlockingPortal() as portal,
        ):
            await store.query("RETURN 1")  # it is open, and has found an empty database

            async def start() -> None:
                with pytest.raises(RestoreUnfinished):
                    await store.open_journal("bank")
                refused.append("bank")

            def once(*_: object) -> None:
                if not refused:
                    portal.call(start)

            with monkeypatch.context() as patch:
                patch.setattr(Reporter, "rows", once)
                result = await anyio.to_thread.run_sync(partial(run, "restore", a_backup, *at))

            assert refused
            assert result.exit_code == 2
            assert "somebody else wrote" in result.stderr
            again = await anyio.to_thread.run_sync(partial(run, "restore", a_backup, *at, "--again"))
            assert again.exit_code == 0
            journal = await store.open_journal("bank")
            assert journal.epoch == 2
            await journal.close(5.0)

    anyio.run(main)


def test_a_start_that_races_with_a_restore_is_refused_or_refuses_it(
    run: Run, server: Server, a_backup: Path
) -> None:
    at = ("--store", server.url())
    for _ in range(5):
        database = server.fresh_database()

        async def start(database: str = database) -> str:
            async with server.store(database=database) as store:
                try:
                    journal = await store.open_journal("bank")
                except RestoreUnfinished:
                    return "refused"
                await journal.close(5.0)
                return "started"

        async def race(database: str = database) -> tuple[str, int]:
            outcomes: dict[str, Any] = {}

            async def restore() -> None:
                outcomes["restore"] = await anyio.to_thread.run_sync(
                    partial(run, "restore", a_backup, *at, "--database", database)
                )

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(restore)
                outcomes["start"] = await start()
            return outcomes["start"], outcomes["restore"].exit_code

        started, code = anyio.run(race)

        # Never both at once: where both went well, the one began when the other was over.
        if code == 0:
            epochs = ask(server, "SELECT VALUE epoch FROM ownership:['bank']", database=database)
            assert epochs == [[2 if started == "started" else 1]]
        elif started == "started":
            assert ask(server, "SELECT VALUE epoch FROM ownership:['bank']", database=database) == [[1]]
        else:
            # Each may have seen the other, and drawn back: then the database is that of a start.
            again = run("restore", a_backup, *at, "--database", database, "--again")
            assert again.exit_code == 0 or anyio.run(start) == "started"
