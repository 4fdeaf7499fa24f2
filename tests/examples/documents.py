"""A small folder of Markdown with everything in it that a site has to get right."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PAGES", "write_documents"]

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)

CHAPTERS = 6

CHAPTER = """# Chapter {n}

Back to [the book](../README.md), on to [the next](chapter-{following}.md).

## What it is

Chapter {n} of a book.[^1]

```python
def chapter() -> int:
    return {n} < 3
```

## What `it` is *not*

<script>alert('no')</script>

Text with <b>HTML</b> &amp; <!-- a secret -->more.

[^1]: With a note.
"""

PAGES = CHAPTERS + 4
"""Of the site: the documents; there is an index among them."""


def write_documents(folder: Path) -> Path:
    """Write the documents into `folder`, which they make; returns it."""
    (folder / "guide" / "more").mkdir(parents=True)
    (folder / "pictures").mkdir()
    (folder / "pictures" / "dot one.png").write_bytes(PNG)
    (folder / "LICENSE").write_text("Do what you want.\n")
    (folder / "README.md").write_text(
        "# A Book & its <Chapters>\n\n"
        "Begin with [the guide](guide/), see [chapter 2](guide/chapter-2.md#what-it-is) and [a *space*]"
        "(guide/with%20space.md?x=1#again-1).\n\n"
        "![a dot](pictures/dot%20one.png) under [a licence](LICENSE), [elsewhere](https://example.org/a.md), "
        "[here](#a-list).\n\n"
        "## A list\n\n- [x] done\n- [ ] to do\n\n| a | b |\n|---|---|\n| 1 | <b>2</b> |\n"
    )
    (folder / "guide" / "README.md").write_text(
        "# The guide\n\n" + "".join(f"- [Chapter {n}](chapter-{n}.md)\n" for n in range(1, CHAPTERS + 1))
    )
    for n in range(1, CHAPTERS + 1):
        (folder / "guide" / f"chapter-{n}.md").write_text(CHAPTER.format(n=n, following=n % CHAPTERS + 1))
    (folder / "guide" / "with space.md").write_text(
        "# Übergrößen\n\n## Again\n\n## Again\n\n[up](/README.md)\n"
    )
    (folder / "guide" / "more" / "last.md").write_text("No heading, but [a link](../chapter-1.md).\n")
    # Not documents of the site:
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "secret.md").write_text("# Secret\n")
    (folder / "notes.txt").write_text("Nobody links to this.\n")
    return folder
