"""The files in deploy/ hold what they promise; a server started by their very command is one to work with."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from sentient_core import ActorSystem, JournalOptions, Retention, Settings, StoreAccessDenied, SurrealStore
from sentient_core.agents import SurrealDBConfig
from tests.conftest import ONCE
from tests.probes import Add, Counter, Fail, Save, Total
from tests.store.server import find_program

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
EXAMPLE = ROOT / "deploy" / "production.env.example"
SERVER: dict[str, Any] = COMPOSE["services"]["surrealdb"]
SECRETS = {"SURREALDB_USERNAME": "admin", "SURREALDB_PASSWORD": "it's-a $ecret"}

OF_THE_ORIGINAL = {
    "SURREALDB_URL",
    "SURREALDB_NAMESPACE",
    "SURREALDB_DATABASE",
    "SURREALDB_USERNAME",
    "SURREALDB_PASSWORD",
    "SURREALDB_CONNECTION_POOL_SIZE",
    "ENABLE_LIVE_QUERIES",
    "LOG_LEVEL",
}


class Missing(Exception):
    """compose would not start."""


def resolved(text: str, environ: Mapping[str, str]) -> str:
    """As compose replaces variables: `${NAME:-default}`, and `${NAME:?}` which has to be there."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.group(1, 2, 3)
        found = environ.get(name, "")
        if found or kind is None:
            return found
        if kind == ":?":
            raise Missing(name)
        return rest

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


def variables_of(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def test_the_server_is_as_it_should_be() -> None:
    assert re.fullmatch(r"surrealdb/surrealdb:v3\.2\.\d+", SERVER["image"])
    assert SERVER["ports"] == ["127.0.0.1:8000:8000"]
    assert SERVER["restart"] == "unless-stopped"
    assert SERVER["healthcheck"]["test"][:3] == ["CMD", "/surreal", "is-ready"]
    assert SERVER["command"][-1].startswith("surrealkv:///data/")
    assert SERVER["volumes"] == ["surrealdb_data:/data"]
    assert "surrealdb_data" in COMPOSE["volumes"]


def test_it_has_the_least_rights() -> None:
    assert "--deny-all" in SERVER["command"]
    assert not [word for word in SERVER["command"] if "allow-all" in word or "guest" in word or "net" in word]
    assert SERVER["cap_drop"] == ["ALL"]
    assert SERVER["security_opt"] == ["no-new-privileges:true"]
    assert SERVER["read_only"] is True
    assert not SERVER["user"].startswith(("0", "root"))


@pytest.mark.parametrize("service", ["surrealdb", "agents"])
@pytest.mark.parametrize("secret", SECRETS)
def test_it_does_not_start_without_a_user_and_a_password(service: str, secret: str) -> None:
    environment = COMPOSE["services"][service]["environment"]
    as_shipped = variables_of(EXAMPLE)

    with pytest.raises(Missing, match="SURREALDB_"):
        [resolved(text, as_shipped) for text in environment.values()]
    with pytest.raises(Missing, match=secret):
        [resolved(text, as_shipped | SECRETS | {secret: ""}) for text in environment.values()]


def test_the_env_file_has_every_setting_and_the_compose_file_uses_it() -> None:
    every = {name.upper() for name in Settings.__struct_fields__}
    used = set(re.findall(r"\$\{(\w+)", str(COMPOSE)))

    assert variables_of(EXAMPLE).keys() == every
    assert every >= OF_THE_ORIGINAL
    assert used - {"AGENTS_IMAGE"} == every
    assert COMPOSE["services"]["agents"]["environment"].keys() == every


def test_what_a_program_beside_the_server_gets_are_settings() -> None:
    environment = COMPOSE["services"]["agents"]["environment"]
    bare = {name: resolved(text, SECRETS) for name, text in environment.items()}
    as_shipped = {name: resolved(text, variables_of(EXAMPLE) | SECRETS) for name, text in environment.items()}

    by_default = Settings.load(env_file=None, environ=bare)
    shipped = Settings.load(env_file=None, environ=as_shipped)

    assert by_default == Settings.load(
        env_file=None, environ=SECRETS, surrealdb_url="ws://surrealdb:8000/rpc"
    )
    assert (shipped.surrealdb_namespace, shipped.surrealdb_database) == ("sentient_prod", "core")
    assert shipped.surrealdb_connection_pool_size == 20
    assert Settings.load(env_file=EXAMPLE, environ=SECRETS) == shipped


def test_the_functions_that_the_store_uses_are_allowed() -> None:
    (allowed,) = [word for word in SERVER["command"] if word.startswith("--allow-funcs=")]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "sentient_core").rglob("*.py"))

    families = set(re.findall(r"\b([a-z]+)::[a-z_:]+\(", sources))

    assert families - set(allowed.partition("=")[2].split(",")) == set()


@contextmanager
def started(directory: Path, environment: Mapping[str, str]) -> Generator[int]:
    """The server as compose starts it, but for its port and its directory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [word.replace("0.0.0.0:8000", f"127.0.0.1:{port}") for word in SERVER["command"]]
    command[-1] = command[-1].replace("/data/", f"{directory}/")
    program = find_program()
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen([program, *command], env=dict(environment), stdout=log, stderr=log)
    try:
        health = [program, *SERVER["healthcheck"]["test"][2:-1], f"ws://localhost:{port}"]
        end = time.monotonic() + 20
        while subprocess.run(health, capture_output=True, check=False).returncode:
            assert process.poll() is None, (directory / "server.log").read_text()
            assert time.monotonic() < end, "it does not become healthy"
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


@ONCE
async def test_its_start_command_starts_a_server_that_systems_run_on(tmp_path: Path) -> None:
    environment = {name: resolved(text, SECRETS) for name, text in SERVER["environment"].items()}
    with started(tmp_path, environment) as port:
        settings = Settings.load(
            env_file=EXAMPLE, environ=SECRETS, surrealdb_url=f"ws://127.0.0.1:{port}/rpc"
        )
        async with SurrealDBConfig(settings=settings) as config:
            await config.setup_schema()
            async with config.get_connection() as db:
                live = await db.live("agent_event")
                options = JournalOptions(retention=Retention())
                async with ActorSystem(store=config, settings=settings, journal=options) as system:
                    counter = await system.spawn(Kept, name="a")
                    await counter.send(Add(3), message_id="once")
                    counter.tell(Fail())
                    assert await counter.ask(Total(), timeout=10) == 3
                    await counter.ask(Save(), timeout=10)
                    await system.flush()
                    assert (await system.audit()).is_balanced
                    (letter,) = await system.dead_letters.list()
                    await system.dead_letters.discard(letter.message_id, reason="it is a test")
                    await system.forget("nobody")
                with anyio.fail_after(60):
                    assert (await (await db.subscribe_live(live)).get())["action"] == "CREATE"
                with pytest.raises(StoreAccessDenied, match="not allowed"):
                    await db.query("RETURN http::get('http://127.0.0.1')")
        with pytest.raises(StoreAccessDenied):
            async with SurrealStore(f"ws://127.0.0.1:{port}") as guest:
                await guest.query("RETURN 1")
    with started(tmp_path, environment) as port:  # what it keeps, it keeps
        async with ActorSystem(
            settings=Settings.load(env_file=EXAMPLE, environ=SECRETS, surrealdb_url=f"ws://127.0.0.1:{port}")
        ) as system:
            assert await (await system.spawn(Kept, name="a")).ask(Total(), timeout=10) == 3


class Kept(Counter):
    """One whose every turn is stored."""

    durability = "durable"
