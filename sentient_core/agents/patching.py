"""Updates of a model: some of its fields, or a JSON Patch (RFC 6902). Pure: what comes of it is a new model.

{"status": "running"}                                        these fields, each as a whole
[{"op": "add", "path": "/metadata/log/-", "value": "seen"}]  operations on the model's to_dict()
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import jsonpatch
import jsonpointer
import msgspec

from sentient_core.agents.fields import Fields, Model
from sentient_core.errors import InvalidArgument, InvalidField, InvalidPatch
from sentient_core.store.plain_values import check_storable

__all__ = ["Updates", "apply_patch", "check_updates", "touches", "updated"]

M = TypeVar("M", bound=Model)

Updates = Mapping[str, Any] | Sequence[object]
"""Fields by name, or operations of RFC 6902: dicts that add, remove, replace, move, copy or test."""


def check_updates(model: type[Model], updates: object) -> Fields | list[Fields]:
    """Fields as the model would keep them, or operations as plain data, checked one by one.

    InvalidArgument for what is neither; InvalidField; InvalidPatch.
    """
    if isinstance(updates, Mapping):
        return model.check_fields(cast("Mapping[str, Any]", updates))
    if not isinstance(updates, list | tuple):
        raise InvalidArgument(
            f"updates are a dict of fields or a list of JSON Patch operations, not {_shown(updates)}"
        )
    operations: list[Fields] = []
    for index, operation in enumerate(cast("Sequence[object]", updates)):
        if not isinstance(operation, Mapping):
            raise InvalidPatch(index, operation, "it is no dict")
        plain: Fields = check_storable(cast("object", operation), f"patch[{index}]")
        _operation(index, plain)
        operations.append(plain)
    return operations


def touches(updates: Fields | list[Fields], field: str) -> bool:
    """Whether such checked updates look at a field of the model, or change it."""
    if isinstance(updates, dict):
        return field in updates
    places = [operation.get(name) for operation in updates for name in ("path", "from")]
    return any(place == "" or str(place).split("/")[1:2] == [field] for place in places if place is not None)


def updated(before: M, updates: Fields | list[Fields]) -> M:
    """The model after checked updates. InvalidField, InvalidPatch."""
    if isinstance(updates, dict):
        return msgspec.structs.replace(before, **updates)
    after = apply_patch(before.to_dict(), updates)
    if not isinstance(after, dict):
        raise InvalidPatch(None, updates, f"it leaves no object in place of the {type(before).__name__}")
    fields = cast("Fields", after)
    for field in before.__struct_fields__:
        if field not in fields:
            raise InvalidField(
                type(before).__name__, field, "was removed by the patch; it can only be replaced"
            )
    return type(before).from_dict(fields)


def apply_patch(document: object, patch: Sequence[Fields]) -> Any:
    """A document after all operations of a patch, in order; what was given stays as it is.

    InvalidPatch names the first operation that cannot be applied, UnstorableValue what grows too large.
    """
    document = copy.deepcopy(document)
    for index, operation in enumerate(patch):
        try:
            document = _operation(index, operation).apply(document, in_place=True)
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
            raise InvalidPatch(index, operation, str(error)[:200]) from None
        if operation.get("op") == "copy":  # each may double it
            check_storable(document, "the document")
    return document


def _operation(index: int, operation: Fields) -> jsonpatch.JsonPatch:
    try:
        return jsonpatch.JsonPatch([operation])
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise InvalidPatch(index, operation, str(error)[:200]) from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
