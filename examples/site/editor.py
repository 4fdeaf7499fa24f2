"""The editor: plans the pages, hands them out, and knows which of them are done."""

from __future__ import annotations

from pathlib import Path

import msgspec
from anyio import to_thread

from examples.site.asking import ask_again
from examples.site.errors import CannotRun
from examples.site.faults import Fate, FaultPlan, Mortal, Place
from examples.site.files import digest_on_disk
from examples.site.messages import (
    Available,
    CannotMake,
    Commission,
    Finished,
    MakeSite,
    Progress,
    Render,
    Withdraw,
)
from examples.site.plan import SitePlan, plan_site
from sentient_core import handles

__all__ = ["Editor", "PageState"]

MOST_TRIES = 100
"""So often is a page handed out until it is given up. It takes a bug: at a fault rate of one half, a
page fails as often as this once in a million."""


class PageState(msgspec.Struct):
    """What the editor knows of one file of the site."""

    recipe: str
    """Of the content that it is to have."""
    edition: int = 1
    """How often its content was to be made anew."""
    digest: str | None = None
    """Of the published file; None: this edition is not done."""
    tries: int = 0
    """How often this edition was handed out."""
    given_up: str | None = None
    """Why this edition will not be made."""

    @property
    def is_open(self) -> bool:
        return self.digest is None and self.given_up is None


class Editor(Mortal):
    """Hands each developer one page at a time.

    Its state says which page lies on whose desk. A page leaves a desk when its developer says that it
    is published, and the checkpoint that says so also is committed. So when anything crashes, the editor
    included, nobody has to find out what was lost: a developer who says `Available` gets what is on its
    desk, again if need be.
    """

    class State(msgspec.Struct):
        plan: SitePlan | None = None
        pages: dict[str, PageState] = {}
        """By file."""
        desks: dict[str, str] = {}
        """What each developer has in hand, by the developer's path."""

    state: State

    reply_errors = (CannotRun,)
    """No Markdown in the folder is an answer to `MakeSite`, not a reason to crash."""

    def __init__(self, faults: FaultPlan, publisher: str, reporter: str) -> None:
        super().__init__(faults)
        self._publisher = publisher
        self._reporter = reporter

    @handles
    async def make_site(self, message: MakeSite) -> Commission:
        fate = self.fate()
        fate.passes(Place.BEFORE)
        plan = await to_thread.run_sync(plan_site, message.source)
        out = Path(message.out)
        on_disk = await to_thread.run_sync(
            lambda: {file: digest_on_disk(out / file) for file in self.state.pages}
        )
        pages = {page.file: self._page(page.file, page.recipe, on_disk) for page in plan.pages}
        gone = tuple(file for file in self.state.pages if file not in pages)
        if gone:
            await ask_again(self.context.system.get(self._publisher), Withdraw(gone))
        fate.passes(Place.BETWEEN)
        self.state = self.State(plan, pages)
        await self.checkpoint()
        fate.passes(Place.AFTER)
        unfinished = sum(page.is_open for page in pages.values())
        return Commission(planned=len(pages), unfinished=unfinished, withdrawn=len(gone))

    @handles
    async def available(self, message: Available) -> SitePlan | None:
        fate = self.fate()
        fate.passes(Place.BEFORE)
        await self._hand_out(message.developer, fate)
        plan = self.state.plan
        return None if plan is None or plan.digest == message.plan else plan

    @handles
    async def finished(self, message: Finished) -> None:
        fate = self.fate()
        fate.passes(Place.BEFORE)
        page = self.state.pages[message.file]
        if page.edition == message.edition:
            page.digest = message.digest
        self._clear_desk(message.developer, message.file)
        await self._hand_out(message.developer, fate)

    @handles
    async def cannot_make(self, message: CannotMake) -> None:
        fate = self.fate()
        fate.passes(Place.BEFORE)
        page = self.state.pages[message.file]
        if page.edition == message.edition:
            page.given_up = message.why
        self._clear_desk(message.developer, message.file)
        await self._hand_out(message.developer, fate)

    def _page(self, file: str, recipe: str, on_disk: dict[str, str | None]) -> PageState:
        """The state of a page at the start of a run: done, still to be done, or to be made anew."""
        known = self.state.pages.get(file)
        if known is None:
            return PageState(recipe)
        if known.recipe == recipe and (known.digest is None or known.digest == on_disk[file]):
            return PageState(recipe, known.edition, known.digest)
        return PageState(recipe, known.edition + 1)

    def _clear_desk(self, developer: str, file: str) -> None:
        # A message that is repeated after a crash finds the next page there already: leave it.
        if self.state.desks.get(developer) == file:
            del self.state.desks[developer]

    async def _hand_out(self, developer: str, fate: Fate) -> None:
        """Give a developer the page on its desk, or the next one; nothing leaves before it is committed."""
        file = self._next_page(developer)
        fate.passes(Place.BETWEEN)
        await self.checkpoint()
        fate.passes(Place.AFTER)
        self._report()
        if file is not None:
            page = self.state.pages[file]
            self.context.system.get(developer).tell(Render(file, page.edition))

    def _next_page(self, developer: str) -> str | None:
        pages, desks = self.state.pages, self.state.desks
        for file in (desks.pop(developer, None), *self._nobodys()):
            if file is None or not pages[file].is_open:
                continue
            page = pages[file]
            if page.tries == MOST_TRIES:
                page.given_up = f"it failed {MOST_TRIES} times, see the log"
                continue
            page.tries += 1
            desks[developer] = file
            return file
        return None

    def _nobodys(self) -> list[str]:
        taken = set(self.state.desks.values())
        return [file for file, page in self.state.pages.items() if page.is_open and file not in taken]

    def _report(self) -> None:
        pages = self.state.pages
        self.context.system.get(self._reporter).tell(
            Progress(
                planned=len(pages),
                done=sum(page.digest is not None for page in pages.values()),
                given_up=tuple((file, page.given_up) for file, page in pages.items() if page.given_up),
            )
        )
