"""`FrontendDeveloperAgent`: makes a web page of a task and deploys it. An example that works.

What to see in it: phases as data; a checkpoint before each step that should not be done twice; a start from
the last of them, whatever has killed the agent meanwhile; seams (`SandboxTool`, `TextModel`) by which the
world is reached, so that it can be tried without any.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, cast

import msgspec

from sentient_core.agents.agent import Agent
from sentient_core.agents.models import Task
from sentient_core.agents.page import PageContent, Section, content_of, rendered
from sentient_core.agents.sandbox import SandboxTool
from sentient_core.agents.text_model import TextModel
from sentient_core.errors import InvalidArgument, InvalidPage, SandboxMissing

__all__ = ["FrontendDeveloperAgent", "Phase", "Reached"]

_INDEX = "index.html"
_INTRODUCTION_LETTERS = 8_000
"""Most characters that are taken of what a text model says."""


class Phase(StrEnum):
    """What the agent is at, as its items' `status` says."""

    ANALYZING_REQUIREMENTS = "analyzing_requirements"
    GENERATING_COMPONENTS = "generating_components"
    BUILDING_UI = "building_ui"
    DEPLOYING = "deploying"
    COMPLETED = "completed"

    @property
    def progress(self) -> int:
        """How far the task is when it comes to this, of 100."""
        return _PROGRESS[self]

    def item(self, **said: object) -> dict[str, Any]:
        """The item that says so."""
        return {"status": self.value, "progress": self.progress, **said}


_PROGRESS = {
    Phase.ANALYZING_REQUIREMENTS: 10,
    Phase.GENERATING_COMPONENTS: 30,
    Phase.BUILDING_UI: 60,
    Phase.DEPLOYING: 90,
    Phase.COMPLETED: 100,
}


class Reached(IntEnum):
    """How far a task has been saved: which of its checkpoints there are."""

    NOTHING = 0
    PRE_GENERATION = 1
    """What is wanted is understood."""
    POST_GENERATION = 2
    """The page can be made."""
    DEPLOYED = 3
    """It was served."""

    @property
    def phase(self) -> str:
        """What its checkpoint says as `phase`."""
        return self.name.lower()

    @classmethod
    def by(cls, point: Mapping[str, Any] | None) -> Reached:
        """What a task that has left this in its last checkpoint has reached."""
        said = None if point is None else point.get("phase")
        return next((reached for reached in cls if reached.phase == said), cls.NOTHING)


class FrontendDeveloperAgent(Agent):
    """Makes a page of a task's description and `input_data` (see `content_of`), and has its sandbox serve it.

    ::

        async with LocalSandbox("site") as sandbox:
            developer = await FrontendDeveloperAgent.start(system, name="developer", sandbox_tool=sandbox)
            result = await developer.execute_task(Task(description="A page about tea"))
            result["artifacts"]  # ["http://127.0.0.1:49152/"]

    Its items are those of `Phase`, its checkpoints those of `Reached`, each taken once for a task, however
    often the agent is restarted. With a `model` the page gets an introduction by it. Who gives it a task that
    it cannot do gets SandboxMissing or InvalidPage; nothing is accepted then.
    """

    capabilities: ClassVar[Collection[str]] = frozenset({"frontend", "html"})
    reply_errors: ClassVar[tuple[type[Exception], ...]] = (SandboxMissing, InvalidPage)

    def __init__(
        self,
        *,
        capabilities: Collection[str] | None = None,
        sandbox_tool: SandboxTool | None = None,
        model: TextModel | None = None,
    ) -> None:
        """Raises InvalidArgument for a sandbox tool that is none."""
        if sandbox_tool is not None and not callable(getattr(sandbox_tool, "run_async", None)):
            raise InvalidArgument(
                f"a sandbox tool has a method `run_async`, as LocalSandbox has, and {sandbox_tool!r:.100} "
                "has none"
            )
        super().__init__(capabilities=capabilities, sandbox_tool=sandbox_tool)
        self.model: TextModel | None = model

    def check_task(self, task: Task) -> None:
        """A page can be made of it, and there is something to deploy with."""
        if self.sandbox_tool is None:
            raise SandboxMissing(self.agent_id)
        content_of(task)

    async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
        """See `Phase`. The last item has `result`, `message` and `artifacts`: the address of the page."""
        sandbox: SandboxTool = self.sandbox
        point = self.resume_point or {}
        reached = Reached.by(point)

        if reached < Reached.PRE_GENERATION:
            yield Phase.ANALYZING_REQUIREMENTS.item()
            content_of(task)  # also if it was accepted by code that took more than this
            await self.create_checkpoint({"phase": Reached.PRE_GENERATION.phase, "task": task.to_dict()})

        if reached < Reached.POST_GENERATION:
            yield Phase.GENERATING_COMPONENTS.item()
            words = await self._introduction(task)
            yield Phase.BUILDING_UI.item()
            page = _page(task, words)
            # The page is made again of the same task and words; the model would not say the same again.
            said = {"introduction": words} if words else {}
            await self.create_checkpoint(
                {"phase": Reached.POST_GENERATION.phase, "html_generated": True, **said}
            )
        else:
            page = _page(task, str(point.get("introduction", "")))

        if reached < Reached.DEPLOYED:
            yield Phase.DEPLOYING.item()
        # Also if it was deployed: a sandbox of a process that was killed serves it no longer.
        url = _url_in(await sandbox.run_async({"files": {_INDEX: page}, "commands": ["serve"]}))
        if reached < Reached.DEPLOYED:
            await self.create_checkpoint({"phase": Reached.DEPLOYED.phase, "url": url})

        yield Phase.COMPLETED.item(
            result="Frontend deployed",
            message="Frontend deployed" if url is None else f"Frontend deployed at {url}",
            artifacts=[] if url is None else [url],
        )

    async def _introduction(self, task: Task) -> str:
        if self.model is None:
            return ""
        said = await self.model.complete(
            "Write the introduction of a web page: two short paragraphs of plain text, without markup.\n\n"
            f"The page is about: {task.description}"
        )
        if not isinstance(said, str):  # pyright: ignore[reportUnnecessaryIsInstance] - it is the user's
            raise InvalidArgument(f"model.complete(prompt) is to return text, not {said!r:.100}")
        return said.encode(errors="replace").decode().strip()[:_INTRODUCTION_LETTERS]


def _url_in(answer: object) -> str | None:
    """Where a sandbox says that the page is; None: it does not say."""
    url = cast("Mapping[str, object]", answer).get("url") if isinstance(answer, Mapping) else answer
    if not isinstance(answer, Mapping) or not isinstance(url, str | None):
        raise InvalidArgument(
            f"sandbox_tool.run_async(...) is to return such as {{'url': 'http://...'}}, not {answer!r:.100}"
        )
    return url


def _page(task: Task, introduction: str) -> str:
    content: PageContent = content_of(task)
    if introduction:
        paragraphs = tuple(part.strip() for part in introduction.split("\n\n") if part.strip())
        content = msgspec.structs.replace(
            content, sections=(Section(paragraphs=paragraphs), *content.sections)
        )
    return rendered(content)
