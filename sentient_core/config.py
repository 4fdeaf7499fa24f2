"""Settings: what an installation decides, read once from arguments, the environment and a `.env` file.

The variables carry the names of the original design. A value is taken from the first place that has one:
an argument, the environment, the `.env` file, the default. All are checked before anything happens, and an
error names the variable, where its value was found, and what it may be.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack, cast

import msgspec

from sentient_core.errors import InvalidEnvFile, InvalidSetting, InvalidStoreUrl
from sentient_core.logs import LogLevel, runtime_log
from sentient_core.secret import Secret
from sentient_core.store.engine import DATABASE, NAMESPACE
from sentient_core.store.url import parse_url

__all__ = ["DEFAULT_SYSTEM", "ENV_FILE", "Settings", "SettingsArguments", "StorageBackend"]

DEFAULT_SYSTEM = "sentient_core"
"""The name of an actor system that is given none."""

ENV_FILE = ".env"
"""Read from the working directory, where it is there."""


class StorageBackend(StrEnum):
    """Where something is kept."""

    SURREALDB = "surrealdb"
    MEMORY = "memory"
    """In this process alone; gone when it ends."""


class SettingsArguments(TypedDict, total=False):
    """What can be given as an argument; None stands for what is not given."""

    surrealdb_url: str | None
    surrealdb_namespace: str | None
    surrealdb_database: str | None
    surrealdb_username: Secret | str | None
    surrealdb_password: Secret | str | None
    surrealdb_connection_pool_size: int | None
    log_level: LogLevel | str | None
    agent_execution_timeout: float | None
    max_concurrent_agents: int | None
    event_bus_backend: StorageBackend | str | None
    state_persistence_backend: StorageBackend | str | None
    enable_live_queries: bool | None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an installation decides; each field is also an environment variable of the same name in capitals.

    ::

        settings = Settings.load(max_concurrent_agents=4)  # the rest: environment, .env, defaults
        async with ActorSystem("bank", settings=settings) as system: ...

    `Settings(...)` itself reads neither the environment nor a file. Either raises InvalidSetting for a value
    that cannot be used. Name and password of the user are `Secret`s, which nothing prints.
    """

    surrealdb_url: str | None = None
    """Where the database is: `surrealkv://directory`, `mem://`, or a server's `wss://host:8000`.

    None: an embedded database in the user's data directory, one per system (see `own_store`).
    """
    surrealdb_namespace: str = NAMESPACE
    surrealdb_database: str = DATABASE
    surrealdb_username: Secret | None = None
    """Of a server's user; an embedded database has none, and takes no notice of it."""
    surrealdb_password: Secret | None = None
    surrealdb_connection_pool_size: int = 10
    """Most connections to a server, and most that `SurrealDBConfig.get_connection` gives out at once."""
    log_level: LogLevel = LogLevel.INFO
    """The runtime's own log lines below this level are not written. Yours are not touched."""
    agent_execution_timeout: float = 3600.0
    """Seconds that a task of an agent may take."""
    max_concurrent_agents: int = 10
    """Most tasks of agents at work in a system at the same time; the others wait."""
    event_bus_backend: StorageBackend = StorageBackend.SURREALDB
    """Where published events are kept."""
    state_persistence_backend: StorageBackend = StorageBackend.SURREALDB
    """`memory`: a system that is given no store keeps all that it stores in memory, whatever the URL is."""
    enable_live_queries: bool = True
    """False: who follows a server's events asks for them, instead of being told by LIVE queries."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                msgspec.structs.force_setattr(self, name, _checked(name, value, "argument"))
        if (self.surrealdb_username is None) != (self.surrealdb_password is None):
            missing, given = ("PASSWORD", "USERNAME") if self.surrealdb_username else ("USERNAME", "PASSWORD")
            raise InvalidSetting(
                f"SURREALDB_{missing}",
                f"is missing, while SURREALDB_{given} is set: give both of them, or neither",
            )

    @classmethod
    def load(
        cls,
        *,
        env_file: str | os.PathLike[str] | None = ENV_FILE,
        environ: Mapping[str, str] | None = None,
        **arguments: Unpack[SettingsArguments],
    ) -> Self:
        """The settings of now: argument > environment > `.env` > default.

        `env_file` has lines such as `LOG_LEVEL=DEBUG`; values may be quoted, `export` may stand before them,
        and `${...}` is no variable but these characters. The default file may be missing, another one may
        not; None: no file. `environ` stands in for the process's environment. A blank value counts as none.
        What looks like one of these variables in the file and is none, such as `SURREALDB_POOL`, is a warning
        in the log.
        Raises InvalidSetting, and InvalidEnvFile for a file that cannot be read. Reads the disk.
        """
        unknown = sorted(arguments.keys() - set(cls.__struct_fields__))
        if unknown:
            raise TypeError(f"Settings has no field {', '.join(map(repr, unknown))}")
        in_file = {} if env_file is None else _read_file(env_file)
        sources: tuple[tuple[str, Mapping[str, Any]], ...] = (
            ("environment", os.environ if environ is None else environ),
            (f"file {os.fspath(env_file or '')}", in_file),
        )
        values: dict[str, Any] = {}
        for name in cls.__struct_fields__:
            given = cast("Mapping[str, Any]", arguments).get(name)
            if given is not None:
                values[name] = _checked(name, given, "argument")
                continue
            for source, variables in sources:
                text = variables.get(name.upper())
                if text and text.strip():
                    values[name] = _checked(name, text, source)
                    break
        settings = cls(**values)
        _warn_of_unknown(in_file, env_file, settings.log_level)
        return settings

    def __repr__(self) -> str:
        # Secrets hide themselves; said here, since what msgspec prints by itself is no promise.
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__)
        return f"Settings({fields})"


class _Kind(msgspec.Struct, frozen=True):
    """What a variable may be: how it is read (ValueError: not at all), and in words."""

    read: Callable[[Any], Any]
    can_be: str


def _checked(name: str, value: object, source: str) -> Any:
    kind = _KINDS[name]
    variable = name.upper()
    try:
        return kind.read(value)
    except InvalidStoreUrl as error:  # it names what is wrong, and shows no credentials
        raise InvalidSetting(
            variable, f"(from the {source}) cannot be used: {str(error).removesuffix('.')}"
        ) from None
    except (ValueError, OverflowError):  # OverflowError: a number beyond all floats
        # What may hold a secret is not repeated, wherever it was found; `from None`: nor in what led to it.
        shown = "cannot be used" if _may_hold_secret(name) else f"is {_short(value)}"
        raise InvalidSetting(variable, f"{shown} (from the {source}); it can be {kind.can_be}") from None


def _may_hold_secret(name: str) -> bool:
    # Somebody may have put name and password into an address, before it was found to be none.
    return _KINDS[name].read in (_secret, _url)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _url(value: object) -> str:
    text = _text(value).strip()
    parse_url(text)
    return text


def _name(value: object) -> str:
    text = _text(value).strip()
    if not text or not text.isprintable() or not text.isascii():  # as the store wants it
        raise ValueError
    return text


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    text = _text(value)
    if not text or "\0" in text:
        raise ValueError
    return Secret(text)


def _count(value: object) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
        raise ValueError
    return value


def _seconds(value: object) -> float:
    if isinstance(value, str):
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError
    return float(value)


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = _text(value).strip().lower()
    if text in ("true", "yes", "on", "1"):
        return True
    if text in ("false", "no", "off", "0"):
        return False
    raise ValueError


def _level(value: object) -> LogLevel:
    text = _text(value).strip().upper()
    return LogLevel(_OTHER_LEVELS.get(text, text))


def _backend(value: object) -> StorageBackend:
    return StorageBackend(_text(value).strip().lower())


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - all that is no value is one kind of mistake here
    value.encode()  # what is no UTF-8 in the environment has characters that cannot be sent anywhere
    return value


# Names that other programs have for them; `LOG_LEVEL` is a variable that several may read.
_OTHER_LEVELS = {"TRACE": "DEBUG", "WARN": "WARNING", "FATAL": "CRITICAL"}

_NAME = _Kind(_name, "a name of printable ASCII characters")
_SECRET = _Kind(_secret, "a text without null characters")
_BACKEND = _Kind(_backend, "surrealdb or memory")

_KINDS: Mapping[str, _Kind] = {
    "surrealdb_url": _Kind(_url, "the address of a database, such as wss://db.example:8000"),
    "surrealdb_namespace": _NAME,
    "surrealdb_database": _NAME,
    "surrealdb_username": _SECRET,
    "surrealdb_password": _SECRET,
    "surrealdb_connection_pool_size": _Kind(_count, "a whole number above 0"),
    "log_level": _Kind(_level, ", ".join(LogLevel)),
    "agent_execution_timeout": _Kind(_seconds, "a number of seconds above 0"),
    "max_concurrent_agents": _Kind(_count, "a whole number above 0"),
    "event_bus_backend": _BACKEND,
    "state_persistence_backend": _BACKEND,
    "enable_live_queries": _Kind(_switch, "true or false"),
}
_OURS = "SURREALDB_"
_ALIKE = 0.4
_NEARLY_EQUAL = 0.85
_OPTIONAL = ("surrealdb_url", "surrealdb_username", "surrealdb_password")


def _warn_of_unknown(in_file: Iterable[str], env_file: object, least: LogLevel) -> None:
    """Of names that begin as ours do, or are nearly one of them. The file may be other programs' as well."""
    known = [name.upper() for name in _KINDS]
    for name in in_file:
        if name in known:
            continue
        prefix = _OURS if name.startswith(_OURS) else ""
        ends = [one.removeprefix(prefix) for one in known if one.startswith(prefix)]
        cutoff = _ALIKE if prefix else _NEARLY_EQUAL
        near = difflib.get_close_matches(name.removeprefix(prefix), ends, n=1, cutoff=cutoff)
        hint = {"did_you_mean": prefix + near[0]} if near else {"there_are": ", ".join(known)}
        if prefix or near:
            runtime_log(None, least).warning(
                "there is no such setting", variable=name, file=str(env_file), **hint
            )


def _read_file(env_file: str | os.PathLike[str]) -> dict[str, str]:
    path = Path(env_file)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):  # a virtual environment may have that name
        if os.fspath(env_file) == ENV_FILE:
            return {}
        raise InvalidEnvFile(str(path), "there is no such file") from None
    except UnicodeDecodeError:
        raise InvalidEnvFile(str(path), "it is no UTF-8 text") from None
    except OSError as error:
        raise InvalidEnvFile(str(path), error.strerror or type(error).__name__) from None
    return _parsed(path, text)


def _parsed(path: Path, text: str) -> dict[str, str]:
    # Here, so that only those who have such a file pay for importing it.
    from io import StringIO  # noqa: PLC0415

    from dotenv.parser import parse_stream  # noqa: PLC0415

    found: dict[str, str] = {}
    for binding in parse_stream(StringIO(text)):
        if binding.error:  # its text may be half a password, so it is not repeated
            raise InvalidEnvFile(str(path), f"line {binding.original.line} is no NAME=value")
        if binding.key is not None and binding.value is not None:
            found[binding.key] = binding.value
    return found
