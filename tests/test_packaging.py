"""What people install: the whole package and nothing beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAME = "sentient_core-0.1.0"
PACKAGE = {
    path.relative_to(ROOT).as_posix()
    for name in ("sentient_core", "sentient_core_pytest")
    for path in (ROOT / name).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `from-tree`, a wheel, and `from-sdist`, the sdist and a wheel built from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    # Without isolation: the backend is in the environment, and no network is needed.
    build = ("-m", "build", "--no-isolation", str(ROOT), "--outdir")
    _run(*build, str(folder / "from-tree"), "--wheel", cwd=folder)
    _run(*build, str(folder / "from-sdist"), cwd=folder)
    return folder


@pytest.fixture(scope="module", params=["from-tree", "from-sdist"])
def wheel(dist: Path, request: pytest.FixtureRequest) -> Path:
    origin: str = request.param
    return dist / origin / f"{NAME}-py3-none-any.whl"


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}

    assert {name for name in names if ".dist-info/" not in name} == PACKAGE
    assert "sentient_core/py.typed" in names
    assert f"{NAME}.dist-info/licenses/LICENSE" in names


def test_the_sdist_holds_the_package_and_four_files(dist: Path) -> None:
    with tarfile.open(dist / "from-sdist" / f"{NAME}.tar.gz") as archive:
        members = [member for member in archive.getmembers() if not member.isdir()]

    assert {member.name.removeprefix(f"{NAME}/") for member in members} == PACKAGE | {
        "CHANGELOG.md",
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
    }
    assert not any(member.issym() or member.islnk() for member in members)


def test_the_metadata_says_what_we_say(wheel: Path) -> None:
    metadata = _metadata(wheel)

    assert (metadata["Name"], metadata["Version"]) == ("sentient-core", "0.1.0")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra", [])) == {
        *("bench", "demo", "dev", "peers", "service", "testing")
    }
    assert "surrealdb[embedded]==3.0.0b10" in metadata.get_all("Requires-Dist", [])


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed."""
    site = tmp_path_factory.mktemp("installed") / "site"
    _run(
        *("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"),
        *("--target", str(site), str(wheel)),
        cwd=site.parent,
    )
    return site


def test_the_installed_wheel_imports_from_anywhere(site: Path, tmp_path: Path) -> None:
    printed = _run(
        *("-c", "import sentient_core, mailbox; print(sentient_core.__file__); print(mailbox.Maildir)"),
        cwd=tmp_path,
        PYTHONPATH=str(site),  # comes before the editable install of this environment
    )

    file, maildir = printed.splitlines()
    assert Path(file) == site / "sentient_core" / "__init__.py"
    assert "mailbox.Maildir" in maildir, "the standard library's mailbox is hidden"
    assert sorted(path.name for path in site.iterdir()) == [
        *("bin", "sentient_core", f"{NAME}.dist-info", "sentient_core_pytest")
    ]
    assert [path.name for path in (site / "bin").iterdir()] == ["sentient"]


def test_pytest_finds_the_plugin_of_the_installed_wheel(site: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "async def test_it(actor_system):\n    assert actor_system.health().is_ready\n"
    )

    printed = _run(
        "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", cwd=tmp_path, PYTHONPATH=str(site)
    )

    assert "sentient-core-0.1.0" in printed.partition("plugins:")[2].partition("\n")[0]
    assert "2 passed" in printed


def test_the_installed_wheel_measures_faults(site: Path, tmp_path: Path) -> None:
    words = ("bench", "faults", "--quick", "--row", "siblings", "--store", "memory", "--out", "out")

    _run("-m", "sentient_core", *words, cwd=tmp_path, PYTHONPATH=str(site))

    assert "**Every promise held.**" in (tmp_path / "out" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["actors", "mailbox", "supervisor"])
def test_the_root_has_a_link_to_the_folder_of_the_same_name(name: str) -> None:
    link = ROOT / name

    assert link.is_symlink()
    assert link.readlink() == Path("sentient_core") / name
    assert link.is_dir()


def _run(*arguments: str, cwd: Path, **variables: str) -> str:
    """Run this Python without the current folder in sys.path, this environment's programs first in PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=cwd,
        env={**os.environ, "PATH": path, **variables},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())
