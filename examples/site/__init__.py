"""A team of supervised agents turns a folder of Markdown into a static site, while its handlers crash.

    python -m examples.site --help

The tour, in the order in which it is good to read:

| module | what is in it |
|---|---|
| `messages` | everything that the agents say to each other |
| `editor` | plans the pages, hands them out, knows which are done |
| `developer`, `publisher` | render a page; put it on disk, once |
| `team` | who supervises whom |
| `faults` | which handler raises when: a seeded plan |
| `asking` | the sender's half of getting over a crash |
| `run` | one run: from the actor system to the report |
| `report`, `table` | what the database says about it afterwards |
| `kill` | a parent that kills the whole process midway and starts it again |
| `plan`, `markdown`, `links`, `theme`, `render`, `files` | the craft itself, plain functions without actors |
| `reporter`, `board`, `display` | progress, for whoever watches |
| `__main__`, `errors`, `fresh`, `interrupt`, `log`, `serve` | the command around it |

The agents lose no page, and publish none twice, by three rules:

1. A page is done when the checkpoint that says so is committed, not before. After a crash, and after
   `kill -9`, the editor goes on from there and hands out what is not done, again if need be.
2. What must not get lost is asked, not told. A message in the hand of a crashing agent is gone (a dead
   letter), so whoever sent it has to notice: an ask ends with HandlerFailed, and is repeated.
3. So everything may happen twice, and the one thing that must not, publishing, looks first whether it
   has happened: a file that is there already, byte for byte, is adopted.
"""

from __future__ import annotations
