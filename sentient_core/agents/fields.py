"""What the fields of the models may hold: each rule takes what was given and returns it as it is kept.

msgspec checks types where it decodes, and not where somebody makes a Struct; and what it says then names
neither model nor field. So a model names a rule per field, which hold wherever it comes from.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Self, TypeVar, cast
from uuid import UUID, uuid4

import msgspec

from sentient_core.actors.posting import FOR_EVER
from sentient_core.errors import InvalidArgument, InvalidField
from sentient_core.store.plain_values import check_storable

__all__ = [
    "MOST_OF_ID",
    "Fields",
    "Model",
    "Rule",
    "amount",
    "check_id",
    "check_payload",
    "check_revision",
    "count",
    "duration",
    "flag",
    "identity",
    "moment",
    "names",
    "new_id",
    "now",
    "objects",
    "one_of",
    "optional",
    "payload",
    "percentage",
    "raw",
    "text",
]

MOST_OF_ID = 1_000
"""Most characters of an id."""

Rule = Callable[[Any, str], Any]
"""Takes what was given and its name, and returns it as it is kept, or says why not."""

Fields = dict[str, Any]
"""Of a model: values by names."""

E = TypeVar("E", bound=StrEnum)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A record whose fields are checked and converted wherever it is made, or InvalidField."""

    rules: ClassVar[Mapping[str, Rule]] = {}

    def __post_init__(self) -> None:
        rules = self.rules
        for field in self.__struct_fields__:
            given = getattr(self, field)
            kept = _kept(type(self).__name__, field, given, rules[field])
            if kept is not given:
                msgspec.structs.force_setattr(self, field, kept)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any] | Self) -> Self:
        """The model of these fields, which may be plain: 'running' for a status, ISO 8601 for a time.

        InvalidField for one that is missing, unknown, or not what it may be.
        """
        if isinstance(fields, cls):
            return fields
        given = cls._named(fields)
        for field in msgspec.structs.fields(cls):
            if field.required and field.name not in given:
                raise InvalidField(cls.__name__, field.name, "is missing")
        return cls(**given)

    @classmethod
    def check_fields(cls, fields: Mapping[str, Any]) -> Fields:
        """Some of its fields, checked and converted one by one as the model would."""
        return {
            field: _kept(cls.__name__, field, given, cls.rules[field])
            for field, given in cls._named(fields).items()
        }

    def to_dict(self) -> Fields:
        """Its fields as plain values, copied: statuses as text; times stay datetimes, bytes bytes."""
        return cast("Fields", msgspec.to_builtins(self, builtin_types=(datetime, bytes)))

    def dict(self) -> Fields:
        """As `to_dict`, under the name of the original design."""
        return self.to_dict()

    def model_dump(self) -> Fields:
        """As `to_dict`, under the name that pydantic has for it."""
        return self.to_dict()

    @classmethod
    def _named(cls, fields: object) -> Mapping[str, Any]:
        if not isinstance(fields, Mapping):
            raise InvalidArgument(f"{cls.__name__} is made of a dict of its fields, not of {_shown(fields)}")
        known = cls.__struct_fields__
        for field in cast("Mapping[object, Any]", fields):
            if field not in known:
                raise InvalidField(cls.__name__, str(field), f"is no field of it{_near(field, known)}")
        return cast("Mapping[str, Any]", fields)


def check_id(value: object, what: str) -> str:
    """`value` as an id, or InvalidArgument: for calls that take one."""
    try:
        return identity(value, what)
    except _Unfit as error:
        raise InvalidArgument(f"{what} {error}") from None


def check_revision(value: object) -> None:
    """Return for a revision that is expected, or None, or raise InvalidArgument: for calls that take one."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InvalidArgument(f"expects is {_shown(value)}; it is the `revision` that was read, from 1 on")


def check_payload(value: object, what: str) -> dict[str, Any]:
    """A copy of `value` as it is stored, or InvalidArgument, UnstorableValue: for calls that take one."""
    try:
        return payload(value, what)
    except _Unfit as error:
        raise InvalidArgument(f"{what} {error}") from None


def new_id() -> str:
    """An id nobody has."""
    return str(uuid4())


def now() -> datetime:
    """This moment in UTC."""
    return datetime.now(UTC)


def identity(value: object, where: str) -> str:
    """An id: text, or a UUID."""
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        raise _Unfit(f"is {_shown(value)}; an id is text of 1 to {MOST_OF_ID:,} characters, or a UUID")
    if not 0 < len(value) <= MOST_OF_ID:
        raise _Unfit(f"has {len(value):,} characters; an id has 1 to {MOST_OF_ID:,}")
    return cast("str", check_storable(value, where))


def text(value: object, where: str) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise _Unfit(f"is {_shown(value)}; it must be text")
    return cast("str", check_storable(value, where))


def names(value: object, where: str) -> list[str]:
    """A list of texts."""
    items = _listed(value)
    if items is None:
        raise _Unfit(f"is {_shown(value)}; it must be a list of texts")
    return [text(item, where) for item in items]


def count(value: object, _: str) -> int:
    """A number of things."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise _Unfit(f"is {_shown(value)}; it must be an integer from 0 on")
    return int(value)


def amount(value: object, _: str) -> float:
    """A number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise _Unfit(f"is {_shown(value)}; it must be a number from 0 on")
    return float(value)


def duration(value: object, where: str) -> float:
    """Seconds, as many as a durable timer can be set for."""
    seconds = amount(value, where)
    if seconds > FOR_EVER:
        raise _Unfit(f"is {_shown(value)}; it can be {FOR_EVER:g} seconds at most")
    return seconds


def percentage(value: object, _: str) -> float:
    """A number from 0 to 100, as it was given."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise _Unfit(f"is {_shown(value)}; it must be a number from 0 to 100")
    return value


def flag(value: object, _: str) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise _Unfit(f"is {_shown(value)}; it must be True or False")
    return value


def moment(value: object, where: str) -> datetime:
    """A time, in UTC: one without a time zone is taken for that; ISO 8601 as text will do."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _Unfit(f"is {_shown(value)}, which is no time in ISO 8601") from None
    if not isinstance(value, datetime):
        raise _Unfit(f"is {_shown(value)}; it must be a datetime, or its text in ISO 8601")
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return cast("datetime", check_storable(value, where))


def payload(value: object, where: str) -> dict[str, Any]:
    """An object of what can be stored, see `check_storable`."""
    if not isinstance(value, Mapping):
        raise _Unfit(f"is {_shown(value)}; it must be a dict")
    return cast("dict[str, Any]", check_storable(cast("object", value), where))


def objects(value: object, where: str) -> list[dict[str, Any]]:
    """A list of objects."""
    items = _listed(value)
    if items is None:
        raise _Unfit(f"is {_shown(value)}; it must be a list of dicts")
    return [payload(item, f"{where}[{index}]") for index, item in enumerate(items)]


def raw(value: object, _: str) -> bytes:
    """Bytes."""
    if not isinstance(value, bytes):
        raise _Unfit(f"is {_shown(value)}; it must be bytes")
    return value


def one_of(members: type[E]) -> Rule:
    """A member of an enumeration, or its value as plain text."""

    def rule(value: object, _: str) -> E:
        try:
            return members(cast("str", value))
        except ValueError:
            options = [member.value for member in members]
            listed = ", ".join(map(repr, options))
            raise _Unfit(f"is {_shown(value)}; it can be {listed}{_near(value, options)}") from None

    return rule


def optional(rule: Rule) -> Rule:
    """None, or what `rule` takes."""

    def either(value: object, where: str) -> Any:
        return None if value is None else rule(value, where)

    return either


class _Unfit(Exception):
    """A value is not what its rule takes; the text is the rest of a sentence about it."""


def _kept(model: str, field: str, given: object, rule: Rule) -> Any:
    try:
        return rule(given, f"{model}.{field}")
    except _Unfit as error:
        raise InvalidField(model, field, str(error)) from None


def _listed(value: object) -> list[object] | None:
    if isinstance(value, list | tuple | set | frozenset):
        return list(cast("Iterable[object]", value))
    return None


def _near(given: object, options: Iterable[str]) -> str:
    near = difflib.get_close_matches(given[:100], list(options), n=1) if isinstance(given, str) else []
    return f". Did you mean {near[0]!r}?" if near else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
