"""A database server: let in or refused with what to do, away and back, killed, paused, shared and fenced."""

from __future__ import annotations

import os
import random
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from sentient_core import Actor, ActorSystem, Request, handles
from sentient_core.errors import (
    Fenced,
    HandlerFailed,
    InvalidArgument,
    MessageTooLarge,
    StoreAccessDenied,
    StoreError,
    StoreRefused,
    StoreTlsFailed,
    StoreUnavailable,
    StoreVersionUnsupported,
    TurnTooLarge,
)
from sentient_core.store import Journal, JournalOptions, SurrealStore, silence, wire
from sentient_core.store.access import Access
from sentient_core.store.protocols import LARGEST_RECORD, Outage
from sentient_core.store.records import full_id
from sentient_core.store.server import ServerClient, check_version
from sentient_core.store.url import parse_url
from tests.conftest import ONCE
from tests.probes import Add, Counter, Log, Total
from tests.store.samples import (
    Faults,
    checkpoint,
    dead_letter,
    event,
    is_commit,
    is_rows,
    is_settlement,
    until,
)
from tests.store.server import PASSWORD, USER, Server, make_certificate

SCHEMES = ("ws", "http")


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    """How the server is spoken to."""
    name: str = request.param
    return name


@pytest.fixture
def database(server: Server) -> str:
    """A database of the shared server that nobody has used."""
    return server.fresh_database()


async def amounts(store: SurrealStore) -> list[int]:
    return [row.payload["amount"] for row in reversed(await store.events("bank", limit=100_000))]


# Coming in


@ONCE
async def test_a_wrong_password_is_refused_with_what_to_do(
    server: Server, scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = server.store(scheme, password="Wr0ng-and-secret")

    with pytest.raises(StoreAccessDenied, match="no such user with this password") as caught:
        await store.open_journal("bank")

    printed = capsys.readouterr()
    shown = "".join((str(caught.value), repr(caught.value), repr(store), store.url, *printed))
    assert "Check username= and password=" in shown
    assert "secret" not in shown
    assert "root" not in shown


@ONCE
async def test_nobody_comes_in_without_signing_in(server: Server, scheme: str) -> None:
    with pytest.raises(StoreAccessDenied, match=re.escape("SurrealStore(url, username=..., password=...)")):
        await SurrealStore(server.url(scheme)).query("RETURN 1")


@ONCE
async def test_users_of_a_namespace_or_a_database_come_in_as_they_are(
    server: Server, scheme: str, database: str
) -> None:
    async with server.store(database=database) as owner:
        await owner.query(
            "DEFINE USER ns_editor ON NAMESPACE PASSWORD 'one' ROLES EDITOR;"
            "DEFINE USER db_editor ON DATABASE PASSWORD 'two' ROLES EDITOR"
        )

    for number, (username, password) in enumerate((("ns_editor", "one"), ("db_editor", "two")), 1):
        async with server.store(scheme, database=database, username=username, password=password) as store:
            journal = await store.open_journal("bank")
            journal.append(event(number))
            await journal.flush()
            assert await amounts(store) == list(range(1, number + 1))
            await journal.close(5.0)
    async with server.store() as owner:
        await owner.query("REMOVE USER ns_editor ON NAMESPACE")


@ONCE
async def test_who_may_do_too_little_is_told_so(server: Server, scheme: str, database: str) -> None:
    async with server.store(database=database) as owner:
        await owner.query(
            "DEFINE USER viewer ON DATABASE PASSWORD 'x' ROLES VIEWER; REMOVE TABLE agent_event;"
        )

    with pytest.raises(StoreAccessDenied, match="OWNER or EDITOR"):
        await server.store(scheme, database=database, username="viewer", password="x").open_journal("bank")
    with pytest.raises(StoreAccessDenied, match="no such user"):
        await server.store(scheme, username="viewer", password="x").query("RETURN 1")


@ONCE
async def test_a_namespace_that_the_user_cannot_make_is_named(
    server: Server, scheme: str, database: str
) -> None:
    async with server.store(database=database) as owner:
        await owner.query("DEFINE USER OVERWRITE narrow ON NAMESPACE PASSWORD 'x' ROLES EDITOR")
    with pytest.raises(StoreAccessDenied):
        await server.store(scheme, namespace="elsewhere", username="narrow", password="x").query("RETURN 1")


@pytest.mark.parametrize(
    "answer", ["surrealdb-2.3.10", "surrealdb-3.0.0", "surrealdb-3.1.9", "surrealdb-4.0.0", "PostgreSQL"]
)
def test_a_server_that_was_not_tried_is_refused(answer: str) -> None:
    with pytest.raises(StoreVersionUnsupported, match=re.escape(f"is {answer}, and this release works with")):
        check_version(answer)


@pytest.mark.parametrize("answer", ["surrealdb-3.2.0", "surrealdb-3.2.5", "surrealdb-3.10.1+nightly"])
def test_a_server_that_is_known_is_taken(answer: str) -> None:
    check_version(answer)


def test_settings_that_cannot_work_are_refused_at_once() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"username": "a"}, "go together"),
        ({"password": "a"}, "go together"),
        ({"namespace": ""}, "namespace"),
        ({"database": "a\nb"}, "database"),
        ({"database": "ü"}, "ASCII"),
        ({"pool": 0}, "pool"),
        ({"call_timeout": 0}, "call_timeout"),
    ]
    for settings, why in wrong:
        with pytest.raises(InvalidArgument, match=why):
            SurrealStore("ws://localhost:8000", **settings)
    with pytest.raises(InvalidArgument, match="are for servers"):
        SurrealStore("mem://", username="a", password="b")


@ONCE
async def test_where_no_server_is_it_says_so(server: Server, scheme: str) -> None:
    with pytest.raises(
        StoreUnavailable, match=rf"server at {scheme}://127\.0\.0\.1:9/rpc cannot .* is it running"
    ):
        await SurrealStore(f"{scheme}://127.0.0.1:9", call_timeout=5.0).query("RETURN 1")
    with pytest.raises(
        StoreUnavailable, match=r"name of the database server at \S+nowhere\.invalid:8000/rpc is not known"
    ):
        await SurrealStore(f"{scheme}://nowhere.invalid:8000", call_timeout=5.0).query("RETURN 1")
    with pytest.raises(StoreUnavailable, match="HTTP 404"):
        await SurrealStore(f"{server.url(scheme)}/somewhere/rpc").query("RETURN 1")


@ONCE
async def test_what_is_no_server_of_ours_ends_at_the_deadline(scheme: str) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as mute:
        port = mute.extra(anyio.abc.SocketAttribute.local_port)

        with pytest.raises(StoreUnavailable, match=r"let nobody in within 0\.15 s"):
            await SurrealStore(f"{scheme}://127.0.0.1:{port}", call_timeout=0.3).query("RETURN 1")


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server with a certificate that no authority has signed, and that certificate."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = make_certificate(directory)
    with Server(directory, "--web-crt", str(certificate), "--web-key", str(key)) as server:
        yield server, certificate


@ONCE
@pytest.mark.parametrize("scheme", ["wss", "https"])
async def test_a_certificate_has_to_be_trusted(tls_server: tuple[Server, Path], scheme: str) -> None:
    server, certificate = tls_server

    with pytest.raises(StoreTlsFailed, match="not trusted") as caught:
        await server.store(scheme).query("RETURN 1")
    assert "tls=ssl.create_default_context(cafile=...)" in str(caught.value)

    async with server.store(scheme, tls=ssl.create_default_context(cafile=str(certificate))) as store:
        assert await store.query("RETURN 1") == [1]


@ONCE
@pytest.mark.parametrize("scheme", ["wss", "https"])
async def test_a_server_without_tls_is_told_from_one_with_it(server: Server, scheme: str) -> None:
    with pytest.raises(StoreTlsFailed, match="does not speak TLS"):
        await server.store(scheme).query("RETURN 1")


async def test_starts_that_race_for_an_empty_database_all_come_in(
    server: Server, scheme: str, database: str
) -> None:
    stores = [server.store(scheme, database=database) for _ in range(5)]
    journals: list[Journal] = []

    async def start(store: SurrealStore) -> None:
        journals.append(await store.open_journal("bank"))

    async with anyio.create_task_group() as tasks:
        for store in stores:
            tasks.start_soon(start, store)

    assert await stores[0].query("SELECT VALUE epoch FROM ownership:['bank']") == [[5]]
    assert sorted(journal.epoch for journal in journals) == [1, 2, 3, 4, 5]
    for journal in journals:
        await journal.close(5.0)
    for store in stores:
        await store.close()


@ONCE
async def test_who_loses_the_race_to_make_the_database_comes_in_at_another_try(
    server: Server, scheme: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use, conflicts = wire.use_request, 2

    def losing(*place: str) -> bytes:
        nonlocal conflicts
        if conflicts:
            conflicts -= 1
            return wire.request("THROW 'Write conflict. This transaction can be retried'", {})
        return use(*place)

    monkeypatch.setattr("sentient_core.store.server.use_request", losing)
    store = server.store(scheme, database=database)

    assert await store.query("RETURN 1") == [1]
    assert conflicts == 0
    await store.close()


@ONCE
async def test_no_more_connections_are_open_than_the_pool_has(
    server: Server, scheme: str, database: str
) -> None:
    async with server.store(scheme, database=database, pool=3) as store:
        await store.query("RETURN 1")
        before = connections_to(server)
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(store.query, "SLEEP 20ms")

        assert connections_to(server) - before <= 2
        # Given up at any moment, a call leaves none behind that would be answered with another's answer.
        for number in range(20):
            with anyio.move_on_after(0.001 * number):
                assert await store.query("SLEEP 5ms; RETURN $n", n=number) == [None, number]
        assert await store.query("RETURN 'mine'") == ["mine"]
        assert connections_to(server) - before <= 2
    assert connections_to(server) < before


@ONCE
async def test_one_connection_is_enough(server: Server, scheme: str, database: str) -> None:
    async with server.store(scheme, database=database, pool=1) as store:
        journal = await store.open_journal("bank")
        for seq in range(1, 1001):
            journal.append(event(seq))
        await journal.flush()

        assert await amounts(store) == list(range(1, 1001))
        await journal.close(5.0)


@ONCE
async def test_what_a_statement_says_is_not_taken_for_the_server(
    server: Server, scheme: str, database: str
) -> None:
    async with server.store(scheme, database=database) as store:
        with pytest.raises(StoreRefused, match="Parse error"):
            await store.query("SELECT FROM WHERE 'NotAllowed'")


@ONCE
async def test_slow_questions_do_not_hold_up_commits(server: Server, scheme: str, database: str) -> None:
    answered: list[object] = []
    async with server.store(scheme, database=database, pool=2) as store, anyio.create_task_group() as tasks:
        journal = await store.open_journal("bank")
        await journal.flush()

        async def ask() -> None:
            answered.append(await store.query("SLEEP 20s"))

        for _ in range(5):
            tasks.start_soon(ask)
        await anyio.lowlevel.checkpoint()
        journal.append(event(1))
        await journal.committed()

        assert answered == []
        tasks.cancel_scope.cancel()
        await journal.close(5.0)


def connections_to(server: Server) -> int:
    """Connections of this process that are established."""
    own = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(
        line[2] == f"0100007F:{server.port:04X}" and line[3] == "01" and f"socket:[{line[9]}]" in own
        for line in lines
    )


@ONCE
async def test_a_user_whose_time_has_run_out_signs_in_again(
    server: Server, scheme: str, database: str
) -> None:
    async with server.store(database=database) as owner:
        await owner.query(
            "DEFINE USER brief ON DATABASE PASSWORD 'x' ROLES EDITOR DURATION FOR TOKEN 1s, FOR SESSION 1s"
        )
    async with server.store(scheme, database=database, username="brief", password="x") as store:
        async with anyio.create_task_group() as tasks:  # on two connections
            for _ in range(2):
                tasks.start_soon(store.query, "INFO FOR DB")
        await anyio.sleep(1.5)  # the server's clock, which no test can move

        async with anyio.create_task_group() as tasks:  # on these two, and on new ones
            for _ in range(5):
                tasks.start_soon(store.query, "INFO FOR DB")
        assert await store.query("RETURN 2") == [2]


# Away and back


async def test_a_server_that_is_killed_and_started_again_under_load_loses_nothing(
    own_server: Server, scheme: str
) -> None:
    outages: list[Outage] = []
    async with own_server.store(scheme) as store:
        journal = await store.open_journal("bank", on_outage=outages.append)
        for round_ in range(2):
            for seq in range(round_ * 100 + 1, round_ * 100 + 101):
                assert journal.append(event(seq))
                if seq % 10 == 0:
                    await journal.committed()
            own_server.kill()
            assert journal.append(event(1_000 + round_))
            await until(lambda: journal.backlog().is_down)
            with pytest.raises(StoreUnavailable):
                await store.events("bank")
            await anyio.to_thread.run_sync(own_server.start)
            await journal.committed()

        await journal.flush()

        assert await amounts(store) == [*range(1, 101), 1_000, *range(101, 201), 1_001]
        await journal.close(5.0)
    assert [outage.is_over for outage in outages] == [False, True] * 2
    assert PASSWORD not in str(outages)


async def test_a_system_says_that_its_server_is_away_and_is_well_again_afterwards(own_server: Server) -> None:
    heard = Log()
    async with own_server.store() as store, ActorSystem("bank", store=store) as system:
        system.alerts.subscribe(lambda alert: heard(alert.alert))
        ref = await system.spawn(Counter, name="a")
        await system.flush()
        own_server.kill()
        ref.tell(Add())
        await heard.until("store outage")
        assert await ref.ask(Total(), timeout=60) == 1
        assert not system.health().is_store_reachable
        await anyio.to_thread.run_sync(own_server.start)
        await heard.until("store is back")
        await system.flush()

        assert system.health().is_store_reachable
        ((row,),) = await store.query("SELECT payload FROM agent_event WHERE event_type = 'system_alert'")

    assert heard.lines == ["store outage", "store is back"]
    assert row["payload"]["alert"] == "store outage"


@ONCE
async def test_after_a_restart_of_an_idle_server_the_next_call_works(own_server: Server, scheme: str) -> None:
    async with own_server.store(scheme) as store:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(store.query, "SLEEP 10ms")
        own_server.kill()
        await anyio.to_thread.run_sync(own_server.start)

        assert await store.query("RETURN 1") == [1]


@ONCE
async def test_a_paused_server_holds_everything_and_doubles_nothing(own_server: Server, scheme: str) -> None:
    async with own_server.store(scheme, call_timeout=2.0) as store:
        journal = await store.open_journal("bank", options=JournalOptions(call_timeout=1.0))
        await journal.flush()
        own_server.pause()
        for seq in range(1, 51):
            journal.append(event(seq))
            journal.append(dead_letter(seq))
        await until(lambda: journal.backlog().is_down)
        with pytest.raises(StoreUnavailable, match="within"):
            await store.query("RETURN 1")
        own_server.resume()

        await journal.flush()

        assert await amounts(store) == list(range(1, 51))
        letters = await store.dead_letters("bank", limit=1000)
        assert [letter.message_id for letter in letters] == [full_id(1, seq) for seq in range(50, 0, -1)]
        assert (await journal.close(5.0)).records == 0


async def test_a_paused_server_is_noticed_long_before_a_call_has_had_its_time(
    own_server: Server, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(silence, "PING_SECONDS", 0.2)
    told: list[Outage] = []
    async with own_server.store(scheme) as store:
        journal = await store.open_journal("bank", on_outage=told.append)
        journal.append(event(1))
        await journal.committed()
        own_server.pause()
        journal.append(event(2))
        await until(lambda: bool(told), within=20.0)  # a call has 30 s
        assert (told[0].is_over, journal.backlog().is_down) == (False, True)
        assert "paused" in told[0].cause
        own_server.resume()

        await journal.flush()

        await until(lambda: told[-1].is_over)
        assert not journal.backlog().is_down
        assert await amounts(store) == [1, 2]
        await journal.close(5.0)


@ONCE
async def test_a_server_that_takes_its_time_answers_pings(server: Server, scheme: str) -> None:
    # On the store's thread there is asyncio, whatever the test runs.
    access = Access(namespace="n", database="d", username=USER, password=PASSWORD)
    client = ServerClient(parse_url(server.url(scheme)), access)
    await client.connect()
    answers: list[str] = []

    async def ask() -> None:
        await client.execute(wire.request("SLEEP 1s", {}))
        answers.append("answer")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        for _ in range(2):
            await client.ping()
            answers.append("ping")

    assert answers == ["ping", "ping", "answer"]
    await client.ping()  # nothing is asked
    await client.close()


@ONCE
async def test_a_store_that_nobody_closed_does_not_keep_the_interpreter(served_url: str) -> None:
    script = (
        "import anyio, structlog, sys\n"
        "from sentient_core.store import open_store\n"
        # rows may be under way at the end, and are heard of as being tried again
        "structlog.configure(wrapper_class=structlog.make_filtering_bound_logger('info'))\n"
        "from tests.store.samples import event\n"
        "async def main():\n"
        "    journal = await open_store(sys.argv[1]).open_journal('bank')\n"
        "    journal.append(event(1))\n"
        "    await journal.committed()\n"
        "anyio.run(main)\n"
    )

    done = await anyio.run_process(
        [sys.executable, "-c", script, served_url],
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        stderr=subprocess.STDOUT,
    )

    assert (done.returncode, done.stdout) == (0, b"")


async def test_answers_that_are_lost_double_nothing_and_fence_nobody(
    server: Server, scheme: str, database: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - for whoever looks at a failure
    dice = random.Random(seed)
    address = parse_url(server.url(scheme))
    access = Access(namespace="sentient_core", database=database, username=USER, password=PASSWORD)
    faults = Faults(lambda _: ServerClient(address, access))
    async with server.store(scheme, connect=faults.connect) as store:
        journal = await store.open_journal("bank", options=JournalOptions(group_records=7, window_records=20))
        faults.lose = lambda request: (
            (is_commit(request) or is_settlement(request) or is_rows(request)) and dice.random() < 0.3
        )
        faults.fail = lambda _: dice.random() < 0.1
        for seq in range(1, 201):
            journal.append(event(seq))
            if seq % 10 == 0:
                journal.append(dead_letter(seq))
        await journal.flush()
        faults.lose = faults.fail = lambda _: False

        assert await amounts(store) == list(range(1, 201))
        assert len(await store.dead_letters("bank", limit=1000)) == 20
        assert journal.epoch == 1
        await journal.close(5.0)


@ONCE
async def test_over_http_large_states_fit_into_the_requests_a_server_takes_by_itself(
    own_server: Server,
) -> None:
    async with own_server.store("http") as store:
        journal = await store.open_journal("bank")
        for number in range(1, 41):
            journal.append(checkpoint(f"team/{number}", number, state=bytes(300_000)))
            journal.append(dead_letter(number, cause="x" * 100_000))

        with anyio.fail_after(60):
            await journal.flush()

        assert len((await journal.checkpoints("team/40", 1))[0].state) == 300_000
        assert len(await store.dead_letters("bank")) == 40
        await journal.close(5.0)


class Keep(Request[str], frozen=True):
    text: str


class Keeper(Actor):
    """Its state is as large as what it is told."""

    class State(msgspec.Struct):
        text: str = ""

    state: State

    @handles
    async def keep(self, message: Keep) -> str:
        self.state.text = message.text
        return await self.checkpoint()


class Split(Request[str], frozen=True):
    parts: int
    size: int


class Book(Actor):
    """All that it does commits together."""

    durability = "durable"

    class State(msgspec.Struct):
        text: str = ""

    state: State

    @handles
    def keep(self, message: Keep) -> str:
        self.state.text = message.text
        return "kept"

    @handles
    def split(self, message: Split) -> str:
        for _ in range(message.parts):
            self.context.ref.tell(Keep("x" * message.size))
        return "split"


@ONCE
async def test_the_largest_message_and_state_become_rows_and_dead_letters(
    own_server: Server, scheme: str
) -> None:
    """On a server that is told nothing about sizes. Over WebSocket it would take too long: one is lowered."""
    sizes: dict[str, int] = {} if scheme == "http" else {"largest_request": 5_000_000}
    async with own_server.store(scheme, **sizes) as store, ActorSystem("bank", store=store) as system:
        largest = store.largest_record
        assert 1_900_000 < largest < 2_500_000
        ref = await system.spawn(Keeper, name="keeper", restart="temporary")
        message = Keep("x" * (largest - 11))
        with pytest.raises(MessageTooLarge):
            ref.tell(Keep("x" * (largest + 1)))
        assert await ref.ask(message, timeout=20)
        await ref.kill()
        for _ in range(3):
            ref.tell(message)

        with anyio.fail_after(60):
            await system.flush()

        assert system.health().is_store_reachable
        letters = await store.dead_letters("bank")
        assert [len(letter.payload or b"") for letter in letters] == [largest] * 3
        (kept,) = await store.checkpoint_rows("bank", "keeper")
        assert len(kept.state) == largest


@ONCE
async def test_the_largest_turn_of_a_durable_actor_is_committed_and_becomes_rows(
    own_server: Server, scheme: str
) -> None:
    sizes: dict[str, Any] = {} if scheme == "http" else {"largest_request": 5_000_000}
    async with own_server.store(scheme, **sizes) as store, ActorSystem("bank", store=store) as system:
        largest = store.largest_record
        ref = await system.spawn(Book, name="book")
        await ref.ask(Keep("x" * (largest - 20)), timeout=20)  # the message, and the state with it
        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Split(3, largest // 2), timeout=20)
        assert isinstance(caught.value.__cause__, TurnTooLarge)
        await ref.ask(Split(40, largest // 50), timeout=20)

        with anyio.fail_after(60):
            await system.flush()

        assert system.health().is_store_reachable
        assert (await system.audit()).is_balanced
        (kept,) = await store.checkpoint_rows("bank", "book")
        assert len(kept.state) == pytest.approx(largest // 50, abs=20)


@ONCE
async def test_over_http_a_server_that_takes_less_than_usual_holds_what_is_too_large(tmp_path: Path) -> None:
    """And says so. It is to be told by `largest_request` before that."""
    heard: list[Outage] = []
    with Server(tmp_path, SURREAL_HTTP_MAX_RPC_BODY_SIZE=str(1024 * 1024)) as small:
        store = small.store("http")
        journal = await store.open_journal("bank", on_outage=heard.append)
        journal.append(event(1, {"amount": 1, "text": "x" * 1_500_000}))
        await until(lambda: bool(heard))
        await journal.close(0.1)
        await store.close()

    assert "SURREAL_HTTP_MAX_RPC_BODY_SIZE" in heard[0].cause
    assert "ws://" in heard[0].cause


@ONCE
async def test_over_websocket_a_request_that_the_server_would_hang_up_on_is_refused(
    server: Server, database: str
) -> None:
    async with server.store(database=database, largest_request=3_000_000) as store:
        with pytest.raises(StoreRefused, match="SURREAL_WEBSOCKET_MAX_MESSAGE_SIZE"):
            await store.query("RETURN 1", text="x" * 3_000_000)
        assert await store.query("RETURN 1") == [1]


@pytest.mark.parametrize(
    ("url", "settings", "limit"),
    [
        ("ws://h", {}, LARGEST_RECORD),
        ("http://h", {}, 2_064_384),
        ("http://h", {"largest_request": 64 * 1024 * 1024}, LARGEST_RECORD - 32 * 1024),
        ("surrealkv://x", {}, LARGEST_RECORD),
        ("mem://", {}, LARGEST_RECORD),
    ],
)
def test_the_largest_record_follows_from_the_largest_request(
    url: str, settings: dict[str, Any], limit: int
) -> None:
    assert SurrealStore(url, **settings).largest_record == limit


def test_a_largest_request_that_could_not_work_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="nothing works"):
        SurrealStore("ws://h", largest_request=1_000)
    with pytest.raises(InvalidArgument, match="embedded"):
        SurrealStore("mem://", largest_request=10_000_000)


# Shared


async def test_a_paused_process_that_is_overtaken_is_refused_and_stops(
    own_server: Server, anyio_backend_name: str
) -> None:
    """A process with the system is stopped, another starts it; the first goes on and has to end."""
    scheme = "ws" if anyio_backend_name == "asyncio" else "http"
    first = await anyio.open_process(
        [sys.executable, "-m", "tests.store.bank", own_server.url(scheme), anyio_backend_name],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        stderr=subprocess.STDOUT,
    )
    assert first.stdout is not None
    lines = BufferedByteReceiveStream(first.stdout)
    with anyio.fail_after(60):
        while await lines.receive_until(b"\n", 100_000) != b"committed 20":
            pass
    first.send_signal(signal.SIGSTOP)

    async with own_server.store(scheme) as store:
        journal = await store.open_journal("bank")
        assert journal.epoch == 2
        journal.append(event(999_999))
        await journal.flush()
        before = await store.query("SELECT VALUE count() FROM agent_event GROUP ALL")
        first.send_signal(signal.SIGCONT)
        with anyio.fail_after(60):
            code = await first.wait()
        after = await store.query("SELECT VALUE count() FROM agent_event GROUP ALL")

        assert code == 86  # ExitCode.FENCED: a process manager is not to start it again
        assert before == after
        assert journal.append(event(1_000_000))
        await journal.flush()
        await journal.close(5.0)
    await first.aclose()


async def test_a_later_start_elsewhere_fences_an_earlier_one(
    server: Server, scheme: str, database: str
) -> None:
    refused: list[StoreError] = []
    first_store = server.store(scheme, database=database)
    second_store = server.store("ws" if scheme == "http" else "http", database=database)
    first = await first_store.open_journal("bank", on_fenced=refused.append)
    first.append(event(1))
    await first.flush()
    second = await second_store.open_journal("bank")

    first.append(event(2))
    with pytest.raises(Fenced):
        await first.committed()

    await until(lambda: bool(refused))
    second.append(event(3))
    await second.flush()
    assert await amounts(second_store) == [1, 3]
    for journal, store in ((first, first_store), (second, second_store)):
        await journal.close(1.0)
        await store.close()
