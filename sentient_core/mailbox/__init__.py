"""The mailbox: a bounded user lane with an overflow policy, its entries, and where refused ones go."""

from __future__ import annotations

from sentient_core.mailbox.dead_letters import DeadLetter, DeadLetterReason, DeadLetters, Evidence
from sentient_core.mailbox.envelope import Envelope
from sentient_core.mailbox.isolation import Isolation
from sentient_core.mailbox.mailbox import Mailbox, MailboxOptions, Queue, Warmth
from sentient_core.mailbox.overflow import Overflow
from sentient_core.mailbox.statistics import MailboxStatistics

__all__ = [
    "DeadLetter",
    "DeadLetterReason",
    "DeadLetters",
    "Envelope",
    "Evidence",
    "Isolation",
    "Mailbox",
    "MailboxOptions",
    "MailboxStatistics",
    "Overflow",
    "Queue",
    "Warmth",
]
