"""A secret is compared and handed on, and shown by nothing."""

from __future__ import annotations

import copy
import logging
import pickle
from io import StringIO

import msgspec
import pytest

from sentient_core import Secret


def test_it_is_equal_to_its_text_and_shows_it_to_nobody() -> None:
    secret = Secret("hunter2")

    assert secret == Secret("hunter2") == "hunter2"
    assert secret not in (Secret("hunter3"), "hunter3", None, 3)
    assert len({secret, Secret("hunter2"), "hunter2"}) == 1
    assert secret.reveal() == "hunter2"
    assert [str(secret), repr(secret), f"{secret}", f"{[secret]!r}", "%s" % secret] == [  # noqa: UP031
        "***",
        "***",
        "***",
        "[***]",
        "***",
    ]


def test_it_is_not_written_anywhere_by_accident() -> None:
    secret = Secret("hunter2")
    stream = StringIO()
    handler = logging.StreamHandler(stream)

    handler.handle(logging.LogRecord("test", logging.ERROR, "", 1, "signing in %s", (secret,), None))

    assert stream.getvalue() == "signing in ***\n"
    for dump in (pickle.dumps, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError):
            dump(secret)
    assert copy.copy(secret) is copy.deepcopy(secret) is secret


def test_an_empty_one_is_false() -> None:
    assert not Secret("")
    assert Secret(" ")
