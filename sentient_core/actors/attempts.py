"""What becomes of a message whose handler has raised: tried again, kept, quarantined, or a dead letter.

A message that is to be handled again goes back to the head of its mailbox, and how often it has failed goes
with it: in its wrapper, so that messages which never fail carry nothing for it. It keeps its sender, its
event and its id, its deadline, and whoever asked goes on waiting. So attempts count over restarts of the
actor and over its stash; they begin anew for another recipient, and when a dead letter is sent again.

*Tries* are counted here: how often the handler failed since the message was sent. What a stored letter
calls *attempts* is how often it was sent, redrives included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentient_core.actors.decision import RESTARTED, Directive, MessageFate
from sentient_core.actors.life_events import report_alert
from sentient_core.actors.notices import Notice
from sentient_core.actors.settling import dead
from sentient_core.actors.special import Special, came_in, kept_of, tries_of
from sentient_core.causes import in_a_line, last_lines
from sentient_core.codec import digest, tag_of
from sentient_core.errors import HandlerFailed, MessageChanged
from sentient_core.mailbox import DeadLetterReason, Evidence
from sentient_core.mailbox.priority import Ranked

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.decision import Decision
    from sentient_core.actors.incarnation import Incarnation
    from sentient_core.mailbox.envelope import Entry

__all__ = ["PutBack", "is_tried_again", "settle_failed", "settle_unfinished"]

_GOES_ON = (Directive.RESUME, Directive.QUARANTINE, Directive.PAUSE)
"""The incarnation that had the message in hand is there for the next one."""


def settle_failed(cell: Cell, entry: Entry, error: Exception, decision: Decision, words: str) -> str:
    """Do with the message in hand of a handler that has raised `error` what was decided; says what that was.

    `words` is the error in a line. Called within the turn, before the incarnation ends. Returns "kept" (it
    is queued again as it was), "retried" (it is queued again with one attempt less), "quarantined", or
    "dead" (a dead letter `failed`).
    """
    if decision is RESTARTED and type(entry) is tuple and cell.blueprint.max_attempts == 1:
        dead(cell, entry, DeadLetterReason.FAILED, words, tries=1)  # the usual case, without a look at others
        if entry[2] is not None:
            _fail_asker(cell, entry, error, words, 1)
        return "dead"
    tries = tries_of(entry)
    goes_on = decision.directive in _GOES_ON
    comes_again = _can_come_again(entry, error, decision.directive, goes_on=goes_on)
    if decision.fate is MessageFate.KEPT and comes_again:
        _put_back(cell, entry, error, tries, goes_on=goes_on)
        return "kept"
    tries += 1
    most = max(cell.blueprint.max_attempts, decision.attempts)
    is_poison = decision.fate is MessageFate.QUARANTINED
    if comes_again and tries < most and not is_poison:
        _put_back(cell, entry, error, tries, goes_on=goes_on)
        return "retried"
    is_quarantined = is_poison or 1 < most <= tries
    if is_quarantined:
        _quarantine(cell, entry, error, words, tries)
    else:
        dead(cell, entry, DeadLetterReason.FAILED, words, tries=tries)
    _fail_asker(cell, entry, error, words, tries)
    return "quarantined" if is_quarantined else "dead"


def is_tried_again(cell: Cell, cause: BaseException | None, decision: Decision) -> bool:
    """The message that an actor has failed of is the next one that it handles: it has attempts left.

    `decision` is what was decided of the `cause`.
    """
    if decision.attempts == 1 and cell.blueprint.max_attempts == 1:
        return False
    first = next(iter(cell.mailbox.queue or ()), None)
    wrapper = None if first is None else came_in(first)
    return isinstance(wrapper, PutBack) and wrapper.tries > 0 and wrapper.error is cause


def settle_unfinished(cell: Cell, entry: Entry) -> bool:
    """Settle a message of a queue that is given up with its actor, if it is the one that the actor failed of.

    It has attempts left, and nobody will try it again. False: it is another one, or the end has another
    cause.
    """
    wrapper = came_in(entry)
    if not isinstance(wrapper, PutBack) or wrapper.error is None or wrapper.error is not cell.cause:
        return False
    words, tries = in_a_line(wrapper.error), max(1, wrapper.tries)
    dead(cell, entry, DeadLetterReason.FAILED, words, tries=tries)
    _fail_asker(cell, entry, wrapper.error, words, tries)
    return True


class PutBack(Special, Ranked):
    """A message that is to have its turn once more, before all others."""

    __slots__ = ("_life", "error", "tries")

    is_kept = True
    is_first = True

    def __init__(
        self, message: object, error: Exception | None, tries: int, life: Incarnation | None
    ) -> None:
        super().__init__(message)
        self.error: Exception | None = error
        """What the handler raised last; None: it was an earlier start of the system whose handler did."""
        self.tries: int = tries
        self._life = life
        """The only incarnation that it is for, if it is for one."""

    @property
    def is_for_one(self) -> bool:
        """Other incarnations have no use for it."""
        return self._life is not None

    def opens(self, cell: Cell, entry: Entry) -> bool:
        """Whether it still is for who takes it; else it becomes a dead letter (`failed`)."""
        if self._life is None or not self._life.is_over:
            return True
        why = "it was to be handled again by the incarnation that it was meant for, which has ended"
        dead(cell, entry, DeadLetterReason.FAILED, why)
        return False


def _can_come_again(entry: Entry, error: Exception, directive: Directive, *, goes_on: bool) -> bool:
    if directive is Directive.STOP:
        return False  # nobody will be there to handle it
    if isinstance(error, MessageChanged) and error.message is entry[0]:
        return False  # what was sent is not known any more, and who asked has been told
    return goes_on or not _is_for_one(entry)


def _is_for_one(entry: Entry) -> bool:
    """A tick, a Terminated and the like tell one incarnation of what it has asked for."""
    wrapper = came_in(entry)
    return isinstance(wrapper, Notice) or (isinstance(wrapper, PutBack) and wrapper.is_for_one)


def _put_back(cell: Cell, entry: Entry, error: Exception, tries: int, *, goes_on: bool) -> None:
    life = cell.life
    if life is not None and not goes_on:
        life.unstash_all()  # it goes back with this incarnation anyway, and belongs behind this message
    kept = kept_of(entry)
    content: object = entry[0] if kept is None else kept
    if isinstance(content, PutBack):
        content = content.message
    if cell.inbox is not None and tries > tries_of(entry):
        cell.inbox.note_tries(entry, tries)
    again = PutBack(content, error, tries, cell.belongings() if _is_for_one(entry) else None)
    cell.mailbox.put_first([(again, *entry[1:])])


def _quarantine(cell: Cell, entry: Entry, error: Exception, words: str, tries: int) -> None:
    saved = None if cell.ledger is None else cell.ledger.saved
    evidence = Evidence(
        last_lines(error), _state_digest(cell), None if saved is None else saved.checkpoint_id
    )
    message_id = dead(cell, entry, DeadLetterReason.QUARANTINED, words, tries=tries, evidence=evidence)
    report_alert(
        cell,
        "message quarantined",
        error,
        message_type=tag_of(type(entry[0])),
        message_id=message_id,
        tries=tries,
    )


def _fail_asker(cell: Cell, entry: Entry, error: Exception, words: str, tries: int) -> None:
    if entry[2] is not None:
        last = f", at attempt {tries}" if tries > 1 else ""
        failed = HandlerFailed(entry[0], cell.ref, f"its handler raised {words}{last}")
        failed.__cause__ = error
        entry[2].fail(failed)


def _state_digest(cell: Cell) -> str | None:
    state = cell.state_now
    if state is None:
        return None
    try:
        return digest(cell.runtime.codec.encode(state)).hex()
    except Exception:  # noqa: BLE001 - what a state that cannot be encoded raises is no news here
        return None
