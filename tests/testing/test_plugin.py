"""The plugin in runs of its own: what users write, and what they get to see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ALONE = ["-p", "anyio", "-p", "sentient_core_pytest"]
"""The plugins of a run that has no others: anyio's, which comes with the library, and ours."""

USERS = """
    import time

    import anyio
    import msgspec
    import pytest

    from sentient_core import Actor, ActorSystem, Request, handles
    from sentient_core.testing import Probe, VirtualClock


    class Deposit(msgspec.Struct, frozen=True):
        amount: int


    class Balance(Request[int], frozen=True):
        pass


    class Account(Actor):
        durability = "durable"

        class State(msgspec.Struct):
            balance: int = 0

        state: State

        @handles
        def deposit(self, message: Deposit) -> None:
            if message.amount < 0:
                raise ValueError("negative")
            self.state.balance += message.amount

        @handles
        def balance(self, message: Balance) -> int:
            return self.state.balance
"""


def run(directory: Path, tests: str, *options: str, ini: str = "", users: str = USERS) -> dict[str, str]:
    """What became of each test, by its name; under "output" all that was printed."""
    (directory / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{ini}")
    (directory / "test_users.py").write_text(dedent(users) + dedent(tests))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *ALONE, "-rA", "-p", "no:cacheprovider", *options],
        cwd=directory,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    output = done.stdout + done.stderr
    found = {"output": output}
    for line in output.splitlines():
        outcome, _, test = line.partition(" test_users.py::")
        if outcome in ("PASSED", "FAILED", "ERROR"):
            found[test.partition(" - ")[0]] = outcome
    return found


def both(name: str, outcome: str = "PASSED") -> dict[str, str]:
    return {f"{name}[asyncio]": outcome, f"{name}[trio]": outcome}


def outcomes(found: dict[str, str]) -> dict[str, str]:
    return {name: outcome for name, outcome in found.items() if name != "output"}


@pytest.mark.parametrize("ini", ["", "anyio_mode = auto\n"], ids=["strict", "auto"])
def test_a_test_needs_nothing_but_the_plugin_and_runs_on_both_backends(tmp_path: Path, ini: str) -> None:
    tests = """
        async def test_an_account(actor_system: ActorSystem) -> None:
            account = await actor_system.spawn(Account, name="alice")
            await account.send(Deposit(3))
            assert await account.ask(Balance(), timeout=1.0) == 3

        async def test_a_probe(probe: Probe) -> None:
            probe.ref.tell(Deposit(3))
            assert (await probe.expect(Deposit)).amount == 3

        async def test_hours(actor_system: ActorSystem, probe: Probe, virtual_clock: VirtualClock) -> None:
            began, begin = time.monotonic(), virtual_clock.now
            await probe.expect_no(24 * 3600.0)
            assert virtual_clock.now - begin == 24 * 3600.0
            assert time.monotonic() - began < 60

        @pytest.mark.virtual_clock(patience=1.0)
        @pytest.mark.actor_system(store="surrealkv://{tmp_path}/db", name="bank")
        async def test_hours_on_disk(actor_system: ActorSystem) -> None:
            account = await actor_system.spawn(Account, name="alice")
            for hour in range(5):
                await anyio.sleep(3600.0)
                await account.send(Deposit(1), timeout=0.01)
            assert await account.ask(Balance(), timeout=0.01) == 5
            assert actor_system.name == "bank"

        @pytest.mark.actor_system(name="further away", store="mem://")
        class TestMarked:
            @pytest.mark.actor_system(name="nearer")
            async def test_nearer(self, actor_system: ActorSystem) -> None:
                assert actor_system.name == "nearer"
                assert type(actor_system.store).__name__ == "SurrealStore"

        @pytest.mark.anyio
        async def test_real_time(anyio_backend_name: str) -> None:
            began, real = anyio.current_time(), time.monotonic()
            await anyio.sleep(0.05)
            assert time.monotonic() - real > 0.04
            assert anyio_backend_name in ("asyncio", "trio")

        async def test_no_business_of_ours():
            raise AssertionError

        def test_plain() -> None:
            assert True
    """

    found = run(tmp_path, tests, "--deselect=test_users.py::test_no_business_of_ours", ini=ini)

    assert outcomes(found) == {
        **both("test_an_account"),
        **both("test_a_probe"),
        **both("test_hours"),
        **both("test_hours_on_disk"),
        **both("TestMarked::test_nearer"),
        **both("test_real_time"),
        "test_plain": "PASSED",
    }, found["output"]


def test_what_is_wrong_at_the_end_of_a_system_fails_its_test(tmp_path: Path) -> None:
    tests = """
        import threading

        @pytest.mark.actor_system(dead_letters=())
        async def test_letters(actor_system: ActorSystem) -> None:
            account = await actor_system.spawn(Account, name="alice")
            account.tell(Deposit(-1))
            await actor_system.flush()

        @pytest.mark.actor_system(dead_letters=("failed", "stopped"))
        async def test_letters_that_are_meant(actor_system: ActorSystem) -> None:
            account = await actor_system.spawn(Account, name="alice")
            account.tell(Deposit(-1))
            await actor_system.flush()

        @pytest.mark.actor_system(dead_letters=())
        async def test_two_things(actor_system: ActorSystem) -> None:
            account = await actor_system.spawn(Account, name="alice")
            account.tell(Deposit(-2))
            await actor_system.flush()
            threading.Thread(target=threading.Event().wait, name="lost", daemon=True).start()

        async def test_expects(probe: Probe) -> None:
            probe.ref.tell(Deposit(3))
            await probe.expect(Deposit(4))

        async def test_that_fails_itself(actor_system: ActorSystem) -> None:
            threading.Thread(target=threading.Event().wait, name="lost too", daemon=True).start()
            raise ValueError

        @pytest.mark.actor_system(alerts="none")
        async def test_bad_options(actor_system: ActorSystem) -> None:
            pass

        @pytest.mark.actor_system(dead_letters=("stoped",))
        async def test_no_reason(actor_system: ActorSystem) -> None:
            pass

        @pytest.mark.actor_system(stor="mem://")
        async def test_a_typo(actor_system: ActorSystem) -> None:
            pass

        @pytest.mark.actor_system("mem://")
        async def test_no_name(actor_system: ActorSystem) -> None:
            pass

        @pytest.mark.actor_system(store="surrealkv://{tmpdir}/db")
        async def test_no_place(actor_system: ActorSystem) -> None:
            pass

        @pytest.mark.actor_system(leaks="no")
        async def test_no_bool(actor_system: ActorSystem) -> None:
            pass
    """

    found = run(tmp_path, tests, "-k", "asyncio")

    output = found["output"]
    assert outcomes(found) == {
        "test_letters[asyncio]": "ERROR",
        "test_letters_that_are_meant[asyncio]": "PASSED",
        "test_two_things[asyncio]": "ERROR",
        "test_expects[asyncio]": "FAILED",
        "test_that_fails_itself[asyncio]": "FAILED",
        "test_bad_options[asyncio]": "ERROR",
        "test_no_reason[asyncio]": "ERROR",
        "test_a_typo[asyncio]": "ERROR",
        "test_no_name[asyncio]": "ERROR",
        "test_no_place[asyncio]": "ERROR",
        "test_no_bool[asyncio]": "ERROR",
    }, output
    assert "failed: Deposit(amount=-1) from external to alice (ValueError: negative)" in output
    assert "failed: Deposit(amount=-2) from external to alice (ValueError: negative)\nleft behind" in output
    assert re.search(r"^left behind by the test: 1 thread:\n  lost\n", output, re.MULTILINE)
    assert "  differs in: amount is 3, not 4" in output
    assert "/probe.py" not in output  # a failure ends at the line of the test
    assert "During handling" not in output
    assert "alerts is 'any' or a tuple" in output
    assert "dead_letters: there is no 'stoped'; there are: stopped, failed" in output
    assert "takes no stor=; did you mean store=?" in output
    assert "takes options by name, such as store='mem://', not 'mem://'" in output
    assert "all that is filled in is {tmp_path}" in output
    assert "leaks is True or False in @pytest.mark.actor_system(...), not 'no'" in output


def test_a_test_that_another_plugin_would_run_as_well_is_told_so(tmp_path: Path) -> None:
    tests = """
        @pytest.mark.asyncio
        async def test_twice(probe: Probe) -> None:
            pass

        @pytest.mark.trio
        async def test_virtually(virtual_clock: VirtualClock) -> None:
            pass

        @pytest.mark.asyncio
        def test_of_its_own() -> None:
            pass
    """

    found = run(tmp_path, tests, ini="markers =\n  asyncio\n  trio\n")

    assert outcomes(found) == {
        **both("test_twice", "ERROR"),
        **both("test_virtually", "ERROR"),
        "test_of_its_own": "PASSED",
    }
    assert (
        "actor_system has anyio's plugin run this test, and pytest-asyncio runs it as well" in found["output"]
    )
    assert (
        "virtual_clock has anyio's plugin run this test, and pytest-trio runs it as well" in found["output"]
    )


def test_backends_of_the_user_are_kept_and_module_fixtures_follow_the_clock(tmp_path: Path) -> None:
    tests = """
        log = []

        @pytest.fixture(scope="module")
        def anyio_backend():
            return "asyncio", {"debug": True}

        @pytest.fixture(scope="module")
        async def of_the_module(anyio_backend):
            log.append(anyio.current_time() < 100)
            yield
            log.append("end")

        @pytest.mark.anyio
        async def test_before(of_the_module) -> None:
            assert log == [False]

        async def test_virtual(of_the_module, virtual_clock) -> None:
            import asyncio
            assert asyncio.get_running_loop().get_debug()
            assert log == [False, "end", True]

        @pytest.mark.virtual_clock
        async def test_virtual_by_its_marker(of_the_module, anyio_backend_options) -> None:
            assert anyio_backend_options["debug"]
            assert log == [False, "end", True]

        class TestOfItsOwn:
            @pytest.fixture
            def anyio_backend(self, anyio_backend):
                return anyio_backend

            async def test_virtual_again(self, virtual_clock) -> None:
                assert anyio.current_time() < 100

        @pytest.mark.anyio
        async def test_behind(of_the_module) -> None:
            assert log == [False, "end", True, "end", False]
    """

    found = run(tmp_path, tests)

    names = ("test_before", "test_virtual", "test_virtual_by_its_marker", "test_behind")
    of_its_own = "TestOfItsOwn::test_virtual_again"
    assert outcomes(found) == dict.fromkeys((*names, of_its_own), "PASSED"), found["output"]


def test_the_tools_are_there_without_pytest() -> None:
    program = """
        import sys
        sys.modules.update(pytest=None, _pytest=None)  # as if it were not installed
        from sentient_core.testing import Probe, fixtures, virtual_backend
        print(Probe, virtual_backend)
    """

    subprocess.run([sys.executable, "-P", "-W", "error", "-c", dedent(program)], timeout=60, check=True)


def test_who_asks_for_nothing_pays_nothing(tmp_path: Path) -> None:
    program = "import sys, sentient_core_pytest; print(sorted({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "'sentient_core_pytest'" in done.stdout
    assert "'sentient_core'" not in done.stdout
    assert "'trio'" not in done.stdout

    (tmp_path / "test_plain.py").write_text(
        "import sys\ndef test_plain(): assert 'sentient_core' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *ALONE, "-q", "-W", "error", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
