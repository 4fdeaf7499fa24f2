"""The incarnations of every actor: one at a time, growing, and restarted as often as the budgets allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from sentient_core.testing.simulation.program import Kind, Part

__all__ = ["Lives"]

_HAIR = 1e-6
"""At the very first moment of a window, sums of seconds decide."""

_ROOT = Part(name="", kind=Kind.TEAM, strategy="each for itself", max_restarts=3, within=5.0)
"""The root supervisor has a window per child."""


class Lives:
    """All of them, by path. `complain` is told of what must not be."""

    def __init__(self, complain: Callable[[str], None], parts: dict[str, Part]) -> None:
        self._complain = complain
        self._parts = parts
        self._kept = {path: part for path, part in parts.items() if "-virtual/" not in path}
        """Those that are there all the time, or not."""
        self._terminated: set[str] = set()
        self._incarnations: dict[str, int] = {}
        self._stored: dict[str, int] = {}
        """What they had come to when a process last ended in order."""
        self._at_work: dict[str, str] = {}
        self._downs: dict[str, list[float]] = defaultdict(list)
        """When what brought an actor down has happened."""
        self._is_down: set[str] = set()
        self._hidden: dict[str, list[float]] = defaultdict(list)
        """When somebody was killed who was down: it may have been about to come up."""
        self._free: dict[str, list[float]] = defaultdict(list)
        """When it was that a restart to come costs nothing of the window."""
        self._slow: dict[str, float] = {}
        """When the end of those began that the plan of faults holds up."""
        self._started: dict[str, float] = {}
        self._waited: dict[str, list[tuple[float, float]]] = defaultdict(list)
        """When it was started again, and when it had gone down before that."""
        self._spent: dict[tuple[str, int], dict[str, list[tuple[float, float]]]] = defaultdict(_windows)
        """Between when and when restarts were decided, by supervisor and its incarnation, then by child."""
        self._under: dict[str, int] = {}
        """The incarnation of the supervisor that has started it."""
        self._watches: dict[tuple[str, int, str], int] = {}

    def begins_run(self) -> None:
        """Another process."""
        self._incarnations.clear()
        self._at_work.clear()
        self._downs.clear()
        self._is_down.clear()
        self._hidden.clear()
        self._terminated.clear()
        self._free.clear()
        self._slow.clear()
        self._spent.clear()
        self._started.clear()
        self._waited.clear()
        self._under.clear()
        self._watches.clear()

    def ends_in_order(self) -> None:
        """The process ends, and the store has everything."""
        self._stored |= self._incarnations

    def starts(self, path: str, incarnation: int, above: int, now: float) -> None:
        """`on_start`; `above`: the incarnation of its supervisor."""
        last = self._incarnations.get(path, 0)
        part = self._parts[path]
        # What leaves nothing in the store begins anew when it has ended for good.
        is_new = part.kind in (Kind.VOLATILE, Kind.TEAM)
        is_new = is_new and (
            part.restart != "permanent" or path in self._free or self._under.get(path) != above
        )
        if part.kind is Kind.TEAM and incarnation == 1:
            self._spent = defaultdict(_windows, {k: v for k, v in self._spent.items() if k[0] != path})
        if part.kind in (Kind.MIRRORED, Kind.DURABLE):
            last = max(last, self._stored.get(path, 0))
        if incarnation <= last and not is_new:
            self._complain(f"{path} starts as incarnation {incarnation} behind {last}")
        self._incarnations[path] = incarnation
        self._under[path] = above
        self._started[path] = now
        self._waited[path] += [(now, down) for down in self._downs[path][-1:]]
        self._is_down.discard(path)
        if path in self._at_work:
            self._complain(f"{path} starts while message {self._at_work.pop(path)} is in hand")

    def costs_nothing(self, path: str, now: float) -> None:
        """A restart of it is for another attempt at a message, or somebody has asked for it."""
        parent = path.rpartition("/")[0]
        is_group = parent in self._parts and self._parts[parent].strategy != "one_for_one"
        names = [child.name for child in self._parts[parent].children] if is_group else []
        for freed in {path: None} | {f"{parent}/{name}": None for name in names}:
            self._free[freed].append(now)

    def forget(self, path: str) -> None:
        """It did not start, and nothing of it is left."""
        for known in [*self._incarnations]:
            if known == path or known.startswith(f"{path}/"):
                del self._incarnations[known]

    def is_terminated(self, path: str, *, is_so: bool) -> None:
        """Somebody has ended it for good by the administration, or has it started again."""
        (self._terminated.add if is_so else self._terminated.discard)(path)

    def ends_slowly(self, path: str, now: float) -> None:
        """The plan of faults strikes before its last hook, which comes later, or never."""
        self._slow[path] = now

    def goes_down(self, path: str, now: float) -> None:
        """Its last hook runs, or it does not start."""
        since = self._slow.pop(path, now)
        if since < now and any(time >= since for time in self._free[path]):
            self.costs_nothing(path, now)  # as was said when its end began
        self._downs[path].append(now)
        self._is_down.add(path)

    def is_killed(self, path: str, now: float) -> None:
        """Somebody kills it: if it is not down already, it is now."""
        if path not in self._is_down:
            self.goes_down(path, now)
        else:
            self._hidden[path].append(now)

    def restarts(self, path: str, now: float, above: int) -> None:
        """`on_restart`: a restart that was decided when it went down, if it is not its supervisor's start."""
        parent = path.rpartition("/")[0]
        team = self._parts.get(parent, _ROOT if not parent else None)
        if team is None or self._under.get(path) != above:
            return
        children = self._spent[parent, above]
        children[path].append(self._decided(path, team, parent, now))
        times, free = children[path], self._free[path]
        if team.strategy == "one_for_one":  # a group is restarted for any of them: each as often as that
            times = sorted(time for times in children.values() for time in times)
            free = [time for child in children for time in self._free[child]]
        for begin, (first, _) in enumerate(times):
            # Those that cost nothing may have been decided anywhere in between.
            within = [last for _, last in times[begin:] if last - first <= team.within - _HAIR]
            count = len(within) - sum(first <= time <= within[-1] for time in free) if within else 0
            if count > team.max_restarts:
                self._complain(
                    f"{path} is restarted, which makes {count} restarts in {team.within} s below '{parent}', "
                    f"which allows {team.max_restarts}"
                )
                children.clear()
                return

    def gives_up(self, path: str) -> None:
        """A supervisor says that there were too many restarts: each of them was for one that went down."""
        team = self._parts[path]
        if team.strategy != "one_for_one":  # a group's restarts may be decided long after that
            return
        names = [f"{path}/{child.name}" for child in team.children]
        downs = [down for name in names for down in (*self._downs[name], *self._hidden[name])]
        # It has stopped the others since it decided that, which takes its time.
        count = max(
            (sum(at - team.within - _HAIR <= down <= at for down in downs) for at in downs), default=0
        )
        if count <= team.max_restarts:
            self._complain(
                f"{path} gives up, and only {count} of its children went down within {team.within} s: it "
                f"allows {team.max_restarts} restarts"
            )

    def _decided(self, path: str, team: Part, parent: str, now: float) -> tuple[float, float]:
        """Between when and when it was: a group waits for those who stop, and for restarts before."""
        last = self._downs[path][-1] if self._downs[path] else now
        if path not in self._is_down:  # it was killed, by whomever
            return self._started.get(path, 0.0), now
        if team.strategy == "one_for_one":
            return last, last
        since = self._started.get(path, 0.0)
        first = last
        for child in team.children:
            other = f"{parent}/{child.name}"
            downs = [down for down in self._downs[other] if down >= since]
            downs += self._downs[other][-1:] if other in self._is_down else []
            downs += [down for start, down in self._waited[other] if start >= since]
            first = min(first, *downs) if downs else first
        return first, now

    def takes(self, path: str, id_: str) -> None:
        """A handler begins."""
        if path in self._at_work:
            self._complain(f"{path} handles message {id_} while message {self._at_work[path]} is in hand")
        self._at_work[path] = id_

    def lets_go(self, path: str) -> None:
        """A handler is over, one way or another."""
        self._at_work.pop(path, None)

    def watches(self, watcher: str, incarnation: int, target: str) -> None:
        """It wants to be told of an end."""
        key = (watcher, incarnation, target)
        self._watches[key] = self._watches.get(key, 0) + 1

    def look(self, is_alive: Callable[[str], bool]) -> None:
        """All is quiet: who wants to know of an end has been told, and who is to live does."""
        for (watcher, incarnation, target), count in self._watches.items():
            is_there = is_alive(watcher) and self._incarnations.get(watcher) == incarnation
            if count and is_there and watcher in self._kept and not is_alive(target):
                self._complain(f"{watcher} watches {target}, which has ended, and was not told")
        for path, part in self._kept.items():
            parent = path.rpartition("/")[0]
            is_wanted = part.restart == "permanent" and parent and path not in self._terminated
            if is_wanted and is_alive(parent) and not is_alive(path):
                self._complain(f"{path} is not there, and {parent} is, which should have restarted it")

    def is_told(self, watcher: str, incarnation: int, target: str) -> None:
        """It was told of an end for good."""
        key = (watcher, incarnation, target)
        if not self._watches.get(key, 0):
            self._complain(f"{watcher} is told of the end of {target} without asking, or once more")
        else:
            self._watches[key] = 0


def _windows() -> dict[str, list[tuple[float, float]]]:
    return defaultdict(list)
