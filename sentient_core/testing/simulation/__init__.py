"""The whole runtime under schedules that a seed decides: random programs, and what must always be so.

A program is data: actors of every durability under supervisors of every strategy, and steps that send them
messages, kill them, take the store away or end the process. It is played on a real system with a memory
store, under virtual time, with a schedule that its seed decides, while a witness compares what happens with
a small reference: each message has one end and comes in order, the state of a durable actor is that of its
turns that ended well, incarnations grow, restarts keep to their budgets, all who ask are answered, and
nothing is left at the end; who follows the events gets what was published, once. What goes wrong is made
small, and played again from a text.
"""

from __future__ import annotations

from sentient_core.testing.simulation.generating import generate
from sentient_core.testing.simulation.playing import Outcome, play
from sentient_core.testing.simulation.program import Do, Follows, Kind, Part, Program, Step, Task, Way
from sentient_core.testing.simulation.replay import as_text, from_text, load
from sentient_core.testing.simulation.shrinking import shrink
from sentient_core.testing.simulation.simulating import Simulation, simulate

__all__ = [
    "Do",
    "Follows",
    "Kind",
    "Outcome",
    "Part",
    "Program",
    "Simulation",
    "Step",
    "Task",
    "Way",
    "as_text",
    "from_text",
    "generate",
    "load",
    "play",
    "shrink",
    "simulate",
]
