"""The frontend developers: each renders one page per message and has it published."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from anyio import to_thread

from examples.site.asking import ask_again
from examples.site.faults import Fate, FaultPlan, Mortal, Place
from examples.site.messages import Available, CannotMake, Copy, Finished, Publish, Receipt, Render, Rendered
from examples.site.plan import Kind, Page, SitePlan
from examples.site.render import SourceChanged, make
from sentient_core import AskTimeout, Request, handles

__all__ = ["FrontendDeveloper"]

R = TypeVar("R")


class FrontendDeveloper(Mortal):
    """Keeps the plan as its state, so that a page costs a message with a name in it, not the plan.

    When it crashes, the `Render` in hand is gone. Its next incarnation has the plan back from the
    checkpoint, says `Available`, and the editor sends what is on its desk again.
    """

    class State(msgspec.Struct):
        plan: SitePlan | None = None

    state: State

    def __init__(self, faults: FaultPlan, editor: str, publisher: str, reporter: str) -> None:
        super().__init__(faults)
        self._editor = editor
        self._publisher = publisher
        self._reporter = reporter

    async def on_start(self) -> None:
        plan = self.state.plan
        known = "" if plan is None else plan.digest
        news = await self._tell_editor(Available(self.context.ref.path, known))
        if news is not None:
            self.state.plan = news
            await self.checkpoint()

    @handles
    async def render(self, message: Render) -> None:
        fate = self.fate()
        fate.passes(Place.BEFORE)
        assert self.state.plan is not None, "the editor has sent the plan before the first page"
        page = self.state.plan.page(message.file)
        me = self.context.ref.path
        try:
            receipt = await self._make(self.state.plan, page, message.edition, fate)
        except AskTimeout:
            raise  # it is an OSError by descent, but the next try may well go through
        except (OSError, SourceChanged) as error:
            await self._tell_editor(CannotMake(me, message.file, message.edition, str(error)))
            return
        fate.passes(Place.AFTER)
        await self._tell_editor(Finished(me, message.file, message.edition, receipt.digest))

    async def _make(self, plan: SitePlan, page: Page, edition: int, fate: Fate) -> Receipt:
        """Render and publish. Raises SourceChanged and OSError, which trying again would not help."""
        publisher = self.context.system.get(self._publisher)
        publication: Request[Receipt]
        if page.kind is Kind.COPY:
            publication = Copy(page.file, edition, f"{plan.root}/{page.source}", page.content)
        else:
            # In a thread: it is a few milliseconds to a second of work, and all actors share one loop.
            content = await to_thread.run_sync(make, plan, page)
            publication = Publish(page.file, edition, content.decode())
        fate.passes(Place.BETWEEN)
        me = self.context.ref.path
        self.context.system.get(self._reporter).tell(Rendered(page.file, edition, me))
        return await ask_again(publisher, publication)

    async def _tell_editor(self, message: Request[R]) -> R:
        """Ask, that is: a message that is told would get lost with an editor who crashes."""
        return await ask_again(self.context.system.get(self._editor), message)
