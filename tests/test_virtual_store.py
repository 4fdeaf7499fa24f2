"""Virtual actors on a real database: what they knew is there when they come back, whichever process it is."""

from __future__ import annotations

from pathlib import Path

from sentient_core import ActorSystem, CheckpointPolicy
from tests.probes import Add, Counter, Log, Total


class Account(Counter):
    passivate_after = 0.05
    checkpoint_policy = CheckpointPolicy(messages=None, seconds=None)

    def __init__(self, log: Log) -> None:
        self.log = log

    def on_stop(self) -> None:
        self.log("stop")


async def test_state_survives_passivation_and_the_process(tmp_path: Path) -> None:
    for round_ in (1, 2):
        async with ActorSystem("bank", store=f"surrealkv://{tmp_path}/db") as system:
            log = Log()
            refs = [await system.get_or_spawn(Account, str(number), log) for number in range(50)]
            for times in (1, 2):
                for number, ref in enumerate(refs):
                    ref.tell(Add(number))
                await log.until("stop", times * len(refs))
            answers = await system.ask_many(refs, Total(), timeout=60)

            assert [answer.reply for answer in answers] == [number * 2 * round_ for number in range(50)]
            assert all(ref.incarnation >= 3 * round_ for ref in refs)
            await log.until("stop", 3 * len(refs))
            await system.flush()
            rows = await system.store.agents("bank")
            assert {row.status for row in rows if row.kind == "Account"} == {"passive"}
            assert system.statistics().dead_letters == 0
