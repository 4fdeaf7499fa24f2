"""The mailbox: a bounded user lane with an overflow policy, its entries, and where refused ones go."""

from __future__ import annotations

from sentient_core.mailbox.dead_letters import DeadLetter, DeadLetterReason, DeadLetters
from sentient_core.mailbox.envelope import Envelope
from sentient_core.mailbox.mailbox import Mailbox, MailboxOptions, MailboxStatistics, Warmth
from sentient_core.mailbox.overflow import Overflow

__all__ = [
    "DeadLetter",
    "DeadLetterReason",
    "DeadLetters",
    "Envelope",
    "Mailbox",
    "MailboxOptions",
    "MailboxStatistics",
    "Overflow",
    "Warmth",
]
