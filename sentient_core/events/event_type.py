"""The kinds of rows in `agent_event`: those that the runtime and its agents write, and those of users."""

from __future__ import annotations

import difflib
from enum import StrEnum

from sentient_core.errors import InvalidArgument, UnknownEventType
from sentient_core.store.event_filter import check_text

__all__ = ["EventType", "event_type_of"]

_MOST = 200


class EventType(StrEnum):
    """`event_type` of an `agent_event`.

    A name with a dot in it, such as `"shop.order_placed"`, is a type of your own; it needs no declaration.
    """

    AGENT_STARTED = "agent_started"
    """An agent began with a task. Payload: task_id, task_description."""
    AGENT_COMPLETED = "agent_completed"
    """A task succeeded. Payload: task_id and its result."""
    AGENT_FAILED = "agent_failed"
    """A task failed. Payload: error, task_id."""
    AGENT_STATUS_CHANGED = "agent_status_changed"
    """Payload: new_status, and what it was before."""
    TASK_PROGRESS = "task_progress"
    """A task has come further. Payload: task_id, progress (0 to 100), and what the task says of it."""
    TASK_CANCELLED = "task_cancelled"
    """A task was cancelled. Payload: task_id."""
    TASK_STATUS_CHANGED = "task_status_changed"
    """Payload: task_id, new_status, and what it was before."""
    WORKFLOW_STATUS_CHANGED = "workflow_status_changed"
    """Payload: new_status, and what it was before."""
    WORKFLOW_STEP_CHANGED = "workflow_step_changed"
    """A workflow went on to another step. Payload: step."""

    MESSAGE_SENT = "message_sent"
    """A message was accepted by a mailbox, or became a dead letter at once. Payload: the message."""
    MESSAGE_REPLIED = "message_replied"
    """An ask was answered. Payload: the reply; `causation_id` is the message's id."""
    MESSAGE_REDRIVEN = "message_redriven"
    """A dead letter was sent again. Payload: message_id (its own, which stays), attempts."""
    ACTOR_STARTED = "actor_started"
    """An incarnation is ready. Payload: cause (of a restart) and checkpoint_id, if one was restored."""
    ACTOR_FAILED = "actor_failed"
    """A handler or hook raised. Payload: error, message_type, and the traceback's last lines."""
    ACTOR_RESTARTED = "actor_restarted"
    """Its supervisor has decided to start an actor again, after a failure, an end, or with its siblings;
    `actor_started` says when it is ready, and alone tells of children that come up again with their
    supervisor. Payload: next_incarnation, restarts (of this actor, this one included, also of earlier starts
    of the process), restarts_in_window (of the window that this one was taken from), delay in seconds, causes
    (outermost first, each with type and message)."""
    ACTOR_ESCALATED = "actor_escalated"
    """A failure of an actor is made its supervisor's own. Payload: supervisor, causes."""
    SUPERVISOR_GAVE_UP = "supervisor_gave_up"
    """A supervisor has no restart left: it stops its children and fails. Payload: child (whose restart was
    one too many), restarts (of that child), causes."""
    ACTOR_PAUSED = "actor_paused"
    """An actor takes no messages until it is resumed. Payload: causes; empty: somebody asked for it."""
    ACTOR_RESUMED = "actor_resumed"
    """It takes messages again."""
    ACTOR_STOPPED = "actor_stopped"
    """An actor ended for good. Payload: cause, if it was not an orderly end."""
    ACTOR_PASSIVATED = "actor_passivated"
    """A virtual actor was idle, or asked to stop: it has no instance until its next message."""
    HANDLER_BLOCKS = "handler_blocks"
    """A handler kept the event loop from running, and has let it go. Payload: handler, message_type,
    seconds, and the stack it was found with."""
    HANDLER_ABANDONED = "handler_abandoned"
    """A handler or hook did not end although it was cancelled, and was left to itself. Payload: handler,
    message_type, seconds (its grace), and the stack of where it waits."""
    STATE_CHECKPOINT = "state_checkpoint"
    """A state was saved. Payload: checkpoint_id."""
    CHECKPOINT_REJECTED = "checkpoint_rejected"
    """A stored checkpoint could not be loaded; an older one is tried. Payload: checkpoint_id, reason."""
    MAILBOX_HIGH_WATER = "mailbox_high_water"
    """A mailbox has as many messages as its `high_water` says. Payload: depth, capacity."""
    MAILBOX_LOW_WATER = "mailbox_low_water"
    """After that, it is down to its `low_water`. Payload: depth, capacity."""
    MIRROR_GAP = "mirror_gap"
    """Messages were handled without being mirrored. Payload: target, count of messages (null: unknown),
    other_records (dead letters and life events left out), reason."""
    SYSTEM_ALERT = "system_alert"
    """Something a person should look at. Payload: alert, cause in a line, and what belongs to it: causes of
    an alert about an actor; seconds and records of a store outage, which is written when it is over."""


def event_type_of(given: object) -> EventType | str:
    """The type meant, one of `EventType` or a user's own. Raises UnknownEventType, InvalidArgument."""
    if isinstance(given, EventType):
        return given
    if not isinstance(given, str):
        raise InvalidArgument(f"event_type must be an EventType or a text, not {given!r}")
    try:
        return EventType(given)
    except ValueError:
        pass
    check_text("event_type", given)
    if "." in given and 0 < len(given) <= _MOST and given.isprintable():
        return given
    raise UnknownEventType(given, difflib.get_close_matches(given, [one.value for one in EventType], n=2))
