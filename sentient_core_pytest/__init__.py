"""The pytest plugin of sentient-core: fixtures `actor_system`, `probe`, `virtual_clock`, and their markers.

PYTEST_DONT_REWRITE

A package of its own, beside `sentient_core`: pytest imports it in every run of everybody who has the library
installed, and importing anything below `sentient_core` would import all of it. So nothing is imported here
before a test asks for it, no test is changed that asks for nothing, and what there is to know stands in
`sentient_core.testing`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sentient_core import ActorSystem
    from sentient_core.testing import Probe, VirtualClock

__all__ = ["actor_system", "probe", "virtual_clock"]

_MARKERS = (
    "actor_system(store=..., audit=True, leaks=True, dead_letters='any', alerts='any', ...): "  # noqa: ISC004
    "how the fixture actor_system makes its system, and what it checks at its end.",
    "virtual_clock(patience=10.0, quiet=0.1): run the test under virtual time; see the fixture of this name.",
)
_REWRITTEN = "sentient_core.testing.store_conformance"
"""The tests that users run over their stores: what their asserts compare is shown."""
if _REWRITTEN not in sys.modules:
    # Before any conftest is imported: one that imports them would have them as they are.
    pytest.register_assert_rewrite(_REWRITTEN)
_OTHERS = {
    "asyncio": ("pytest-asyncio", "asyncio_mode = strict"),
    "trio": ("pytest-trio", "trio_mode = false"),
}
"""Plugins that run async tests by themselves, by the marker that such a test has, and what keeps them off."""

_has_failed: pytest.StashKey[bool] = pytest.StashKey()
_wanted: pytest.StashKey[dict[str, Any] | None] = pytest.StashKey()
_made: pytest.StashKey[list[_Made]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Virtual time is that of a backend of anyio's: an async test that is marked for it runs on one."""
    if inspect.iscoroutinefunction(obj) and collector.istestfunction(obj, name):
        own: list[pytest.Mark] = getattr(obj, "pytestmark", [])
        if collector.get_closest_marker("virtual_clock") or any(mark.name == "virtual_clock" for mark in own):
            pytest.mark.usefixtures("anyio_backend")(obj)


@pytest.fixture
async def actor_system(
    request: pytest.FixtureRequest,
    anyio_backend: object,  # noqa: ARG001 - it makes a loop for the test
) -> AsyncGenerator[ActorSystem]:
    """A running ActorSystem on a MemoryStore, on each of anyio's backends; an async test needs no marker.

    At its end it checks that every message is accounted for (`system.audit()`), and that no task, thread or
    file descriptor is left. The marker `@pytest.mark.actor_system(...)` says otherwise, for a test, a class
    or a module (`pytestmark`); what is nearer goes before what is further away:

    - `store`: as of ActorSystem; in a text `{tmp_path}` is the test's directory; a function is called for it;
    - `audit=False`, `leaks=False`: do not check that;
    - `dead_letters`, `alerts`: which may be there at the end: "any", or a tuple of reasons (of alerts, their
      names), `()` being none;
    - anything else, such as `faults` or `name`, goes to ActorSystem.

    A test that has failed is not checked, a fault plan is paused before the end.
    """
    from sentient_core.testing.fixtures import CheckFailed, checked_system  # noqa: PLC0415 - see the docstring

    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("actor_system"))):
        _check_named(marker, "store='mem://'")
        options |= marker.kwargs

    def has_failed() -> bool:
        return bool(request.node.stash.get(_has_failed, False))

    wrong = ""
    try:
        async with checked_system(request.getfixturevalue, has_failed, options) as system:
            yield system
    except CheckFailed as failed:
        wrong = str(failed)
    if wrong:
        pytest.fail(wrong, pytrace=False)  # where it was found says nothing


@pytest.fixture
async def probe(actor_system: ActorSystem) -> Probe:
    """A Probe in `actor_system`; more of them: `await Probe.spawn(actor_system)`."""
    from sentient_core.testing.probe import Probe  # noqa: PLC0415 - as above

    return await Probe.spawn(actor_system, "probe")


@pytest.fixture
def virtual_clock(anyio_backend: object) -> VirtualClock:
    """The test runs under virtual time, whatever `anyio_backend` it has; this is its clock.

    So it does with the marker of this name alone: `pytestmark = pytest.mark.virtual_clock` for a module. See
    `sentient_core.testing.VirtualClock` for what holds the clock, and for the options of the marker.
    """
    from sentient_core.testing.virtual_time import clock_of  # noqa: PLC0415 - as above

    clock = clock_of(anyio_backend)
    if clock is None:
        pytest.fail("virtual_clock has to be there when the test begins: name it as an argument of the test")
    return clock


class _Made:
    """An `anyio_backend` that tests are using, and for what it was made."""

    def __init__(
        self, fixturedef: pytest.FixtureDef[Any], request: Any, options: dict[str, Any] | None
    ) -> None:
        self.fixturedef = fixturedef
        self.request = request
        self.options = options

    @property
    def is_in_use(self) -> bool:
        return self.fixturedef.cached_result is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give up an event loop of real time before a test of virtual time, and the other way round.

    `anyio_backend` is of a module. It ends here, and what depends on it, as when its parameter changes.
    """
    _check_runner(item)
    options = _virtual_options(item)
    item.config.stash[_wanted] = options
    made = item.config.stash.setdefault(_made, [])
    if any(each.options != options for each in made):
        while made:  # those that were made of others first
            each = made.pop()
            each.fixturedef.finish(each.request)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Put virtual time under the backend that the test has anyway."""
    backend = yield
    if fixturedef.argname != "anyio_backend":
        return backend
    options = request.config.stash.get(_wanted, None)
    made = request.config.stash.setdefault(_made, [])
    made[:] = [each for each in made if each.fixturedef is not fixturedef and each.is_in_use]
    made.append(_Made(fixturedef, request, options))
    if options is None:
        return backend
    from sentient_core.testing.fixtures import under_virtual_time  # noqa: PLC0415 - as above

    backend = under_virtual_time(backend, options)
    if fixturedef.cached_result is not None:
        fixturedef.cached_result = (backend, fixturedef.cached_result[1], None)
    return backend


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test has failed: its end is not checked then."""
    report = yield
    if report.failed:
        item.stash[_has_failed] = True
    return report


def _check_runner(item: pytest.Item) -> None:
    """A test with our fixtures is run by anyio's plugin alone: another's would wait in a loop of its own."""
    asked = [name for name in __all__ if name in getattr(item, "fixturenames", ())]
    for marker, (plugin, setting) in _OTHERS.items():
        if asked and item.get_closest_marker(marker) is not None:
            pytest.fail(
                f"{asked[0]} has anyio's plugin run this test, and {plugin} runs it as well, in an event "
                f"loop of its own: set {setting}, and take @pytest.mark.{marker} away if it is there. Or "
                "make the system in the test: async with ActorSystem('test', store=MemoryStore()) as system",
                pytrace=False,
            )


def _virtual_options(item: pytest.Item) -> dict[str, Any] | None:
    marker = item.get_closest_marker("virtual_clock")
    if marker is not None:
        _check_named(marker, "patience=10.0")
        return dict(marker.kwargs)
    return {} if "virtual_clock" in getattr(item, "fixturenames", ()) else None


def _check_named(marker: pytest.Mark, example: str) -> None:
    """Options without a name would be looked at by nobody."""
    if marker.args:
        pytest.fail(
            f"@pytest.mark.{marker.name} takes options by name, such as {example}, not {marker.args[0]!r}",
            pytrace=False,
        )
