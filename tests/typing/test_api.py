"""Both type checkers understand the API: `api.py` without a complaint, and they find every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MISTAKES = """
from __future__ import annotations

import msgspec

from sentient_core import (
    Actor, ActorProxy, ActorRef, ActorSystem, ChildSpec, MemoryStore, Request, Supervisor, asks, reads,
    upcast,
)


class Deposit(msgspec.Struct, frozen=True):
    amount: int


class Balance(Request[int], frozen=True):
    '''Ask for the balance.'''


class Owners(Request[list[str]], frozen=True):
    '''Ask for the owners.'''


class Account(Actor): ...


class Ledger(Actor[Deposit | Balance]): ...


class Special(Ledger): ...


class Other(Actor): ...


class Older(Actor):
    @staticmethod
    @upcast("1")  # WRONG
    def first(state: dict[str, int]) -> dict[str, int]:
        return state

    @upcast(2)  # WRONG
    @staticmethod
    def second(state: dict[str, int]) -> int:
        return 3


def takes_accounts(ref: ActorRef[Account]) -> None: ...


async def check() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        ref = await system.spawn(Account)
        total = await ref.ask(Balance(), timeout=1.0)
        text: str = total  # WRONG
        await ref.ask(Balance())  # WRONG
        other: ActorRef[Other] = ref  # WRONG
        takes_accounts(await system.spawn(Other))  # WRONG
        await system.spawn(int)  # WRONG
        ActorSystem("bank", store=3)  # WRONG
        ChildSpec(int, name="a")  # WRONG
        Supervisor.one_for_one(3, 5.0)  # WRONG
        system.topic("totals", Balance).publish(3)  # WRONG
        totals: list[str] = [a.reply for a in await system.ask_many([ref], Balance(), timeout=1)]  # WRONG
        system.actors(int)  # WRONG
        print(text, other, totals)


async def check_messages(
    plain: ActorRef[Account], ledger: ActorRef[Ledger], special: ActorRef[Special]
) -> None:
    ledger.tell(3)  # WRONG
    special.tell(3)  # WRONG
    ledger.tell(Owners())  # WRONG
    await ledger.send("deposit")  # WRONG
    await ledger.ask(Owners(), timeout=1)  # WRONG
    await special.ask(Owners(), timeout=1)  # WRONG
    await ledger.ask("balance", timeout=1)  # WRONG
    await ledger.ask(Balance())  # WRONG
    first: str = await ledger.ask(Balance(), timeout=1)  # WRONG
    second: str = await plain.ask(Balance(), timeout=1)  # WRONG
    third: list[int] = await plain.ask(Owners(), timeout=1)  # WRONG
    wider: ActorRef[Actor[Deposit | str]] = ledger  # WRONG
    print(first, second, third, wider)


async def check_messages_to_many(system: ActorSystem, ledger: ActorRef[Ledger]) -> None:
    system.from_thread.tell(ledger, "x")  # WRONG
    system.from_thread.send(ledger, 3)  # WRONG
    system.from_thread.ask(ledger, "x", timeout=1)  # WRONG
    system.from_thread.ask(ledger, Owners(), timeout=1)  # WRONG
    first: str = system.from_thread.ask(ledger, Balance(), timeout=1)  # WRONG
    await system.ask_many([ledger], "x", timeout=1)  # WRONG
    await system.ask_many([ledger], Owners(), timeout=1)  # WRONG
    system.broadcast([ledger], "x")  # WRONG
    system.topic("owners", Owners).subscribe(ledger)  # WRONG
    system.topic("balances", Balance).subscribe(ledger)
    print(first)


class Shop(Actor):
    items: list[str]

    async def add(self, item: str, *, times: int = 1) -> int:
        return times


class ShopProxy(ActorProxy[Shop]):
    add = asks(Shop.add)
    items = reads(Shop, lambda shop: shop.items)


class WrongProxy(ActorProxy[Shop]):
    missing = asks(Shop.missing)  # WRONG
    absent = reads(Shop, lambda shop: shop.absent)  # WRONG


class MixedProxy(ActorProxy[Account]):
    add = asks(Shop.add)


async def check_proxies(shop: ActorRef[Shop], account: ActorRef[Account]) -> None:
    proxy = shop.proxy(ShopProxy)
    await proxy.add()  # WRONG
    await proxy.add(3)  # WRONG
    await proxy.add("apple", 3)  # WRONG
    await proxy.add("apple", colour="red")  # WRONG
    proxy.add.tell(3)  # WRONG
    await proxy.add  # WRONG
    await proxy.items()  # WRONG
    await proxy.typo  # WRONG
    text: str = await proxy.add("apple")  # WRONG
    number: int = await proxy.items  # WRONG
    account.proxy(ShopProxy)  # WRONG
    shop.proxy(Shop)  # WRONG
    shop.proxy(ShopProxy, timeout="1")  # WRONG
    await account.proxy(MixedProxy).add("apple")  # WRONG
    proxy.items = []  # WRONG
    print(text, number)
"""


def _run(*command: str) -> str:
    # --verifytypes looks for the package with the first python on the PATH.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "NO_COLOR": "1", "PATH": path},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    return done.stdout + done.stderr


def _mypy(path: Path) -> tuple[list[int], str]:
    """Lines with errors, and all of the output."""
    out = _run("mypy", "--strict", "--no-error-summary", str(path))
    lines = [line for line in out.splitlines() if f"{path.name}:" in line and " error: " in line]
    return [int(line.split(f"{path.name}:")[1].split(":")[0]) for line in lines], out


def _pyright(path: Path) -> tuple[list[int], str]:
    out = _run("pyright", "--pythonpath", sys.executable, "--outputjson", str(path))
    report = json.loads(out[out.index("{") :])
    errors = [found for found in report["generalDiagnostics"] if found["severity"] == "error"]
    return [found["range"]["start"]["line"] + 1 for found in errors], out


Checker = Callable[[Path], tuple[list[int], str]]
CHECKERS = pytest.mark.parametrize("checker", [_mypy, _pyright], ids=["mypy", "pyright"])


@pytest.mark.slow
@CHECKERS
def test_the_type_checkers_know_the_api(checker: Checker) -> None:
    lines, out = checker(ROOT / "tests/typing/api.py")

    assert lines == [], out


@pytest.mark.slow
@CHECKERS
def test_the_type_checkers_find_mistakes(checker: Checker, tmp_path: Path) -> None:
    path = tmp_path / "mistakes.py"
    path.write_text(MISTAKES)
    marked = {number for number, line in enumerate(MISTAKES.splitlines(), 1) if line.endswith("# WRONG")}

    lines, out = checker(path)

    assert set(lines) == marked, out


@pytest.mark.slow
def test_every_public_name_has_a_complete_type() -> None:
    out = _run("pyright", "--verifytypes", "sentient_core", "--ignoreexternal")

    assert "Type completeness score: 100%" in out, out
