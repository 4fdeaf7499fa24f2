"""What the site consists of, worked out from a folder of Markdown. Pure reading, without actors."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import msgspec

from examples.site.errors import NoMarkdown, SourceUnusable
from examples.site.files import digest_of
from examples.site.links import local_path
from examples.site.markdown import Document, read_document
from examples.site.theme import STYLE_FILE, THEME

__all__ = ["DeadLink", "Kind", "Page", "Remark", "SitePlan", "Source", "plan_site", "text_of"]

SUFFIXES = (".md", ".markdown")
INDEX_NAMES = ("index", "readme")
PASSED_OVER = {"node_modules", "__pycache__"}


class Source(msgspec.Struct, frozen=True):
    """Where the documents are."""

    root: str
    """Absolute path of a folder; all links are relative to files in it."""
    only: tuple[str, ...] = ()
    """Files and folders below it; empty: everything."""
    apart: tuple[str, ...] = ()
    """Absolute paths of folders to be passed over: what the program itself writes."""


class Kind(StrEnum):
    """What a file of the site is made from."""

    DOCUMENT = "document"
    """A Markdown file."""
    CONTENTS = "contents"
    """The plan: an index page, for a folder that has none of its own."""
    STYLE = "style"
    """The theme."""
    COPY = "copy"
    """A file that a document shows or links to."""


class Page(msgspec.Struct, frozen=True):
    """One file of the site."""

    file: str
    """Its name in the output folder."""
    kind: Kind
    source: str
    """The source file, relative to the root; of what has none a name in brackets."""
    title: str
    summary: str
    content: str
    """Digest of the source file."""
    recipe: str
    """Digest of all that goes into it: while it stays the same, so do the bytes of the file."""


class DeadLink(msgspec.Struct, frozen=True):
    """A link that leads nowhere."""

    source: str
    href: str


class Remark(msgspec.Struct, frozen=True):
    """Something unusual about a file that looks like a document: it was skipped, or it reads badly."""

    source: str
    """Relative to the root; as Python writes it, if it cannot be printed as it is."""
    what: str


class SitePlan(msgspec.Struct, frozen=True, dict=True):
    """A site, before it is made."""

    root: str
    title: str
    pages: tuple[Page, ...]
    """What people read, in the order in which they would, then what belongs to it."""
    dead_links: tuple[DeadLink, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Stands for the whole plan."""
        return digest_of(msgspec.msgpack.encode(self))

    @cached_property
    def readable(self) -> tuple[Page, ...]:
        """The pages proper."""
        return tuple(page for page in self.pages if page.kind in (Kind.DOCUMENT, Kind.CONTENTS))

    @cached_property
    def targets(self) -> dict[str, str]:
        """The site's files by what a link in a document calls them: source files, and folders."""
        found = {page.source: page.file for page in self.pages}
        for page in self.readable:
            if posixpath.basename(page.file) == "index.html":
                found[posixpath.dirname(page.file) or "."] = page.file
        return found

    def page(self, file: str) -> Page:
        """The page of that name. KeyError: there is none."""
        return self._by_file[file]

    @cached_property
    def _by_file(self) -> dict[str, Page]:
        return {page.file: page for page in self.pages}


def plan_site(source: Source) -> SitePlan:
    """Read a folder and plan its site: the same plan for the same documents. Blocks on the disk.

    Raises SourceUnusable and NoMarkdown.
    """
    root = Path(source.root)
    if not root.is_dir():
        raise SourceUnusable(source.root, "there is no such folder")
    try:
        contents, remarks = _read_all(root, sorted(_documents(source)))
    except OSError as error:
        raise SourceUnusable(source.root, f"{error.strerror}: {error.filename}") from error
    if not contents:
        raise NoMarkdown(source.root, *(f"{remark.what}: {remark.source}" for remark in remarks))
    documents = {path: read_document(text_of(content)) for path, content in contents.items()}
    files = _names(documents)
    pages = [
        Page(
            file=files[path],
            kind=Kind.DOCUMENT,
            source=path,
            title=document.title or posixpath.basename(path).rpartition(".")[0],
            summary=document.summary,
            content=digest_of(contents[path]),
            recipe="",
        )
        for path, document in documents.items()
    ]
    pages.sort(key=_place)
    title = pages[0].title if pages[0].file == "index.html" else root.name or "Documents"
    if pages[0].file != "index.html":
        pages.insert(0, Page("index.html", Kind.CONTENTS, "(contents)", title, "", "", ""))
    others, dead = _what_they_lead_to(root, documents, taken=set(files.values()))
    return _with_recipes(SitePlan(source.root, title, (*pages, *others), dead, remarks))


def text_of(content: bytes) -> str:
    """The text of a document. What is not UTF-8 in it becomes �."""
    return content.decode("utf-8-sig", "replace")


def _documents(source: Source) -> Iterator[str]:
    """Paths of Markdown files relative to the root, in no order."""
    root = Path(source.root)
    for name in source.only or (".",):
        start = root / name
        if not start.is_dir():
            yield posixpath.normpath(name)
            continue
        for folder, folders, names in os.walk(start):
            folders[:] = [
                inner
                for inner in folders
                if not inner.startswith(".")
                and inner not in PASSED_OVER
                and str(Path(folder, inner)) not in source.apart
            ]
            for file in names:
                if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                    yield Path(folder, file).relative_to(root).as_posix()


class _Unusable(Exception):
    """A file that cannot be part of the site; the text says why."""


def _read_all(root: Path, paths: list[str]) -> tuple[dict[str, bytes], tuple[Remark, ...]]:
    """The documents that can be used, and what there is to say about the others. Raises OSError."""
    contents: dict[str, bytes] = {}
    remarks: list[Remark] = []
    for path in paths:
        name = path if path.isprintable() else repr(path)
        try:
            contents[path] = _read(root, path)
            contents[path].decode()
        except _Unusable as error:
            remarks.append(Remark(name, f"skipped, {error}"))
        except UnicodeDecodeError:
            remarks.append(Remark(name, "not UTF-8"))
    return contents, tuple(remarks)


def _read(root: Path, path: str) -> bytes:
    """The bytes of a regular file below the root. Raises _Unusable, and OSError."""
    try:
        path.encode()  # the name of a file need not be text, but messages are
        real = Path(os.path.realpath(root / path, strict=True))
    except ValueError:
        raise _Unusable("its name is not UTF-8") from None
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        raise _Unusable("it leads nowhere") from error
    if not real.is_relative_to(root.resolve()):
        raise _Unusable("it leads out of the folder")
    if not real.is_file():  # asked before it is opened: to open a pipe is to wait for its writer
        raise _Unusable("it is not a regular file")
    return real.read_bytes()


def _names(documents: dict[str, Document]) -> dict[str, str]:
    """Each document's file in the site; a folder's index, or else its README, is its index.html."""
    files: dict[str, str] = {}
    taken: set[str] = set()
    for path in sorted(documents, key=_index_first):
        folder, name = posixpath.split(path)
        stem = name.rpartition(".")[0]
        index = posixpath.join(folder, "index.html")
        if stem.lower() in INDEX_NAMES and index not in taken:
            files[path] = index
        else:
            files[path] = _free(posixpath.join(folder, f"{stem}.html"), taken)
        taken.add(files[path])
    return files


def _index_first(path: str) -> tuple[str, int, str]:
    folder, name = posixpath.split(path)
    stem = name.rpartition(".")[0].lower()
    return folder, INDEX_NAMES.index(stem) if stem in INDEX_NAMES else len(INDEX_NAMES), path


def _place(page: Page) -> tuple[str, bool, str]:
    """Folder by folder, the root first, and in each its index first."""
    folder, name = posixpath.split(page.file)
    return folder, name != "index.html", name.lower()


def _free(file: str, taken: set[str]) -> str:
    stem, dot, suffix = file.rpartition(".")
    number = 2
    while file in taken:
        file = f"{stem}-{number}{dot}{suffix}"
        number += 1
    return file


def _what_they_lead_to(
    root: Path, documents: dict[str, Document], taken: set[str]
) -> tuple[list[Page], tuple[DeadLink, ...]]:
    """The theme, copies of the files that documents show or link to, and links that lead nowhere."""
    others = [Page(STYLE_FILE, Kind.STYLE, "(style)", "", "", "", "")]
    taken = taken | {STYLE_FILE, "index.html"}
    folders = {posixpath.dirname(path) or "." for path in documents if _is_index(path)}
    dead: list[DeadLink] = []
    seen = set(documents) | folders | {"."}
    for path, document in documents.items():
        for href in document.links:
            target = local_path(href, path)
            if target is None or target in seen:
                continue
            content = _content(root, target)
            if content is None:
                dead.append(DeadLink(path, href))
                continue
            seen.add(target)
            # Without a suffix a browser would offer to save it instead of showing it.
            name = target if "." in posixpath.basename(target) else f"{target}.txt"
            file = _free(name, taken)
            taken.add(file)
            others.append(Page(file, Kind.COPY, target, "", "", digest_of(content), ""))
    return others, tuple(dead)


def _is_index(path: str) -> bool:
    return posixpath.basename(path).rpartition(".")[0].lower() in INDEX_NAMES


def _content(root: Path, target: str) -> bytes | None:
    """The bytes of a file that a document leads to; None: there is none, or none to be shown."""
    if any(part.startswith(".") for part in target.split("/")):
        return None
    try:
        return _read(root, target)
    except (_Unusable, OSError):
        return None


def _with_recipes(plan: SitePlan) -> SitePlan:
    theme = THEME.digest.encode()
    outline = msgspec.msgpack.encode(
        [plan.title, plan.targets, [(page.file, page.title) for page in plan.readable]]
    )
    summaries = msgspec.msgpack.encode([page.summary for page in plan.readable])
    recipes = {
        Kind.DOCUMENT: (theme, outline),
        Kind.CONTENTS: (theme, outline, summaries),
        Kind.STYLE: (theme,),
        Kind.COPY: (),
    }
    pages = tuple(
        msgspec.structs.replace(page, recipe=digest_of(*recipes[page.kind], page.content.encode()))
        for page in plan.pages
    )
    return msgspec.structs.replace(plan, pages=pages)
