"""Nothing outside of the directory is written, read or replaced, whatever paths and links say."""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import SandboxPathRefused, SandboxUnusable
from sentient_core.agents.confined import (
    ConfinedDirectory,
    _stage,  # pyright: ignore[reportPrivateUsage] - what a kill interrupts
)
from sentient_core.agents.sandbox_paths import is_servable, parts_of


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that nobody may touch, beside the directory."""
    path = tmp_path / "outside.html"
    path.write_text("mine")
    return path


@pytest.fixture
def confined(tmp_path: Path, outside: Path) -> Iterator[ConfinedDirectory]:
    directory = ConfinedDirectory(tmp_path / "site")
    yield directory
    directory.close()
    assert outside.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} <= {"site", "outside.html", "elsewhere", "moved"}


def content(directory: ConfinedDirectory, path: str) -> bytes | None:
    file = directory.open(tuple(path.split("/")))
    if file is None:
        return None
    with file:
        return file.read()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../outside.html", "climbs out"),
        ("a/../../outside.html", "climbs out"),
        ("..", "climbs out"),
        ("/etc/passwd", "absolute"),
        ("", "empty"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("./a", "'.'"),
        ("a\0b", "NUL"),
        ("a\nb", "control"),
        ("..\\outside.html", "backslash"),
        ("a" * 201, "longer"),
        ("ä" * 101, "longer"),
        ("a/" * 32 + "a", "deeper"),
        ("/".join(["a" * 200] * 5), "longer"),
        ("\udc80.html", "Unicode"),
        (".sandbox-1", "own"),
        (b"index.html", "no text"),
        (7, "no text"),
        (None, "no text"),
    ],
)
def test_a_path_that_can_never_work_is_refused_with_its_reason(path: object, why: str) -> None:
    with pytest.raises(SandboxPathRefused, match=re.escape(why)) as caught:
        parts_of(path)

    assert caught.value.path == path
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "path", ["index.html", "a/b/c.css", "…/ü.html", "a b.txt", "..a", ".well-known/x", "a" * 200]
)
def test_a_path_that_works_is_taken_apart(path: str) -> None:
    assert "/".join(parts_of(path)) == path


@given(st.text(st.sampled_from("./\\a\0\n\udc80"), max_size=12))
def test_what_is_let_through_stays_below_the_directory(path: str) -> None:
    try:
        parts = parts_of(path)
    except SandboxPathRefused:
        return
    assert os.path.normpath(f"/site/{path}") == "/site/" + "/".join(parts)
    assert all(map(is_servable, parts))


def test_files_are_written_in_folders_that_are_made(confined: ConfinedDirectory) -> None:
    confined.write({("index.html",): b"<p>", ("a", "b", "c.css"): b"p {}"})

    assert (confined.path / "index.html").read_bytes() == b"<p>"
    assert (confined.path / "a" / "b" / "c.css").read_bytes() == b"p {}"
    assert not [path for path in confined.path.rglob("*") if path.name.startswith(".")]


def test_a_reader_keeps_the_file_that_it_has_opened(confined: ConfinedDirectory) -> None:
    confined.write({("index.html",): b"old"})
    file = confined.open(("index.html",))
    assert file is not None

    with file:
        confined.write({("index.html",): b"new and longer"})
        assert file.read() == b"old"

    assert content(confined, "index.html") == b"new and longer"


def test_a_link_that_leads_out_is_refused_before_anything_is_written(
    confined: ConfinedDirectory, outside: Path
) -> None:
    (confined.path / "link.html").symlink_to(outside)
    (confined.path / "out").symlink_to(outside.parent)

    for parts in (("link.html",), ("out", "outside.html"), ("out", "new.html")):
        with pytest.raises(SandboxPathRefused, match="is a link"):
            confined.write({("index.html",): b"written first", parts: b"theirs"})
        assert content(confined, "/".join(parts)) is None

    assert content(confined, "index.html") is None
    assert not confined.has_folder(("out",))


def test_a_link_within_is_not_followed_either(confined: ConfinedDirectory) -> None:
    confined.write({("a", "index.html"): b"a"})
    (confined.path / "b").symlink_to("a")

    assert content(confined, "b/index.html") is None
    with pytest.raises(SandboxPathRefused, match="'b' is a link"):
        confined.write({("b", "index.html"): b"b"})


def test_a_link_that_comes_after_the_look_leads_nowhere(
    confined: ConfinedDirectory, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody exchanges a folder for a link, and a file for one, between checking and writing."""
    confined.write({("a", "index.html"): b"a", ("outside.html",): b"ours"})

    def exchange(root: int, parts: object) -> None:
        (confined.path / "outside.html").unlink(missing_ok=True)
        (confined.path / "outside.html").symlink_to(outside)
        if not (confined.path / "a").is_symlink():
            (confined.path / "a").rename(confined.path / "b")
            (confined.path / "a").symlink_to(outside.parent)

    monkeypatch.setattr("sentient_core.agents.confined._check", exchange)

    with pytest.raises(SandboxUnusable):
        confined.write({("a", "outside.html"): b"theirs"})
    confined.write({("outside.html",): b"a file again"})

    assert not (confined.path / "outside.html").is_symlink()
    assert content(confined, "outside.html") == b"a file again"


def test_the_directory_stays_the_one_it_was(confined: ConfinedDirectory, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    confined.path.rename(tmp_path / "moved")
    confined.path.symlink_to(elsewhere)

    confined.write({("index.html",): b"here"})

    assert (tmp_path / "moved" / "index.html").read_bytes() == b"here"
    assert list(elsewhere.iterdir()) == []


def test_what_is_in_the_way_is_named(confined: ConfinedDirectory) -> None:
    confined.write({("a", "b"): b"file"})
    os.mkfifo(confined.path / "pipe")

    for parts, why in (
        (("a",), "no file"),
        (("a", "b", "c"), "'a/b' is no folder"),
        (("pipe",), "no file"),
    ):
        with pytest.raises(SandboxPathRefused, match=why):
            confined.write({parts: b""})
    with pytest.raises(SandboxPathRefused, match="'x' is to be a file as well"):
        confined.write({("x", "y"): b"", ("x",): b""})
    assert content(confined, "pipe") is None
    assert content(confined, "a") is None


def test_what_a_killed_process_has_left_of_a_file_goes_with_the_next(confined: ConfinedDirectory) -> None:
    with confined._held() as root:  # pyright: ignore[reportPrivateUsage] - as if killed here
        _stage(root, ("index.html",), b"half")
    (left,) = confined.path.iterdir()
    assert not is_servable(left.name)

    confined.write({("index.html",): b"whole"})

    assert [path.name for path in confined.path.iterdir()] == ["index.html"]


def test_a_write_that_fails_changes_no_file(
    confined: ConfinedDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    confined.write({("a.html",): b"old", ("b.html",): b"old"})
    syncs = iter([None, OSError(28, "No space left on device")])

    def fsync(descriptor: int) -> None:
        error = next(syncs, None)
        if error is not None:
            raise error

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(SandboxUnusable, match="No space left"):
        confined.write({("a.html",): b"new", ("b.html",): b"new"})

    assert [content(confined, name) for name in ("a.html", "b.html")] == [b"old", b"old"]
    assert sorted(path.name for path in confined.path.iterdir()) == ["a.html", "b.html"]


def test_a_directory_belongs_to_one_sandbox(confined: ConfinedDirectory) -> None:
    with pytest.raises(SandboxUnusable, match="another sandbox"):
        ConfinedDirectory(confined.path)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, outside: Path) -> None:
    with pytest.raises(SandboxUnusable, match=r"outside\.html"):
        ConfinedDirectory(outside)


@pytest.mark.parametrize("name", ["a\0b", "half\ud800"])
def test_a_directory_that_no_file_system_can_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SandboxUnusable, match=r"null byte|surrogates"):
        ConfinedDirectory(tmp_path / name)


def test_a_lock_that_cannot_be_had_for_another_reason_is_not_blamed_on_a_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(SandboxUnusable, match="No locks available"):
        ConfinedDirectory(tmp_path / "site")


def test_closed_while_a_thread_writes_it_writes_into_its_own_directory_and_then_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    confined = ConfinedDirectory(tmp_path / "site")
    is_writing, may_go_on = threading.Event(), threading.Event()

    def fsync(descriptor: int) -> None:
        is_writing.set()
        assert may_go_on.wait(10)

    monkeypatch.setattr(os, "fsync", fsync)
    writer = threading.Thread(target=confined.write, args=({("a.html",): b"x", ("b", "c.html"): b"y"},))
    writer.start()
    assert is_writing.wait(10)

    confined.close()
    confined.close()
    (tmp_path / "other").mkdir()
    others = [os.open(tmp_path / "other", os.O_RDONLY) for _ in range(3)]  # one has the number it had
    with pytest.raises(SandboxUnusable, match="another sandbox"):
        ConfinedDirectory(confined.path)
    may_go_on.set()
    writer.join()

    assert list((tmp_path / "other").iterdir()) == []
    assert (confined.path / "a.html").read_bytes() == b"x"
    assert (confined.path / "b/c.html").read_bytes() == b"y"
    ConfinedDirectory(confined.path).close()
    with pytest.raises(SandboxUnusable, match="closed"):
        confined.write({("d.html",): b""})
    assert confined.open(("a.html",)) is None
    for other in others:
        os.close(other)
