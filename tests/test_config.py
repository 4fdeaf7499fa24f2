"""Settings: where each comes from, what is refused with which words, and what is never shown."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import InvalidArgument, InvalidEnvFile, InvalidSetting, LogLevel, Secret, Settings
from sentient_core.config import StorageBackend

PASSWORD = "pa55-of-the-tests"

VALUES: dict[str, tuple[str, Any, Any]] = {
    "surrealdb_url": ("wss://db.example:8000", "wss://db.example:8000", None),
    "surrealdb_namespace": ("prod", "prod", "sentient_core"),
    "surrealdb_database": ("core", "core", "agents"),
    "surrealdb_username": ("admin", Secret("admin"), None),
    "surrealdb_password": (PASSWORD, Secret(PASSWORD), None),
    "surrealdb_connection_pool_size": ("20", 20, 10),
    "log_level": ("debug", LogLevel.DEBUG, LogLevel.INFO),
    "agent_execution_timeout": ("90.5", 90.5, 3600.0),
    "max_concurrent_agents": ("3", 3, 10),
    "event_bus_backend": ("memory", StorageBackend.MEMORY, StorageBackend.SURREALDB),
    "state_persistence_backend": ("Memory", StorageBackend.MEMORY, StorageBackend.SURREALDB),
    "enable_live_queries": ("false", False, True),
}
"""Of each field: how it may stand in the environment, what that means, and the default."""

ENVIRONMENT = {name.upper(): text for name, (text, _, _) in VALUES.items()}

WRONG = {
    "surrealdb_url": ["localhost:8000", "file:///data", f"ws://root:{PASSWORD}@host", "ws://"],
    "surrealdb_namespace": ["a\nb", "größe"],
    "surrealdb_database": ["a\x00b"],
    "surrealdb_password": [f"{PASSWORD}\0"],
    "surrealdb_connection_pool_size": ["0", "-1", "many", "1.5", "9" * 30],
    "log_level": ["LOUD", "10"],
    "agent_execution_timeout": ["0", "-3", "soon", "inf", "nan", "1e400"],
    "max_concurrent_agents": ["0", "ten"],
    "event_bus_backend": ["redis"],
    "state_persistence_backend": ["disk"],
    "enable_live_queries": ["maybe", "2"],
}


def load(environ: dict[str, str] | None = None, **arguments: Any) -> Settings:
    return Settings.load(env_file=arguments.pop("env_file", None), environ=environ or {}, **arguments)


def test_every_variable_is_a_field_with_its_default() -> None:
    settings = load()

    assert {name: getattr(settings, name) for name in settings.__struct_fields__} == {
        name: default for name, (_, _, default) in VALUES.items()
    }


def test_every_variable_is_read_from_the_environment() -> None:
    settings = load(ENVIRONMENT)

    assert {name: getattr(settings, name) for name in VALUES} == {
        name: meant for name, (_, meant, _) in VALUES.items()
    }


def test_every_variable_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "production.env"
    file.write_text("# all\n" + "\n".join(f"{name}={text}" for name, text in ENVIRONMENT.items()))

    assert load(env_file=file) == load(ENVIRONMENT)


def test_an_argument_counts_more_than_the_environment_and_that_more_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.env"
    file.write_text("SURREALDB_DATABASE=file\nSURREALDB_NAMESPACE=file\nMAX_CONCURRENT_AGENTS=1\n")
    environ = {"SURREALDB_DATABASE": "environment", "SURREALDB_NAMESPACE": "environment"}

    settings = load(environ, env_file=file, surrealdb_database="argument", log_level=None)

    assert settings.surrealdb_database == "argument"
    assert settings.surrealdb_namespace == "environment"
    assert settings.max_concurrent_agents == 1
    assert settings.log_level == "INFO"


def test_the_process_environment_and_the_file_of_the_working_directory_are_read_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.load() == Settings()
    (tmp_path / ".env").write_text("LOG_LEVEL=ERROR\nMAX_CONCURRENT_AGENTS=2\n")
    monkeypatch.setenv("MAX_CONCURRENT_AGENTS", "4")

    settings = Settings.load()

    assert (settings.log_level, settings.max_concurrent_agents) == ("ERROR", 4)
    assert Settings.load(env_file=None).log_level == "INFO"


def test_a_blank_variable_is_as_if_it_were_not_there() -> None:
    assert load(dict.fromkeys(ENVIRONMENT, " ")) == load(dict.fromkeys(ENVIRONMENT, "")) == load()


def test_a_file_has_quotes_comments_and_exports_and_no_variables(tmp_path: Path) -> None:
    file = tmp_path / "a.env"
    file.write_text(
        "\ufeff# of the installation\nexport LOG_LEVEL='WARNING'  # loud enough\n\n"
        'SURREALDB_USERNAME = "${HOME}"\nSURREALDB_PASSWORD=\'a $HOME "b" # c\'\nMAX_CONCURRENT_AGENTS\n'
        "OF_ANOTHER_PROGRAM=1\n",
        encoding="utf-8",
    )

    settings = load(env_file=file)

    assert settings.log_level == LogLevel.WARNING
    assert settings.surrealdb_username == Secret("${HOME}")
    assert settings.surrealdb_password == Secret('a $HOME "b" # c')
    assert settings.max_concurrent_agents == 10


def test_what_looks_like_a_variable_in_the_file_and_is_none_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "a.env"
    file.write_text(
        f"SURREALDB_USER=x\nSURREALDB_PASSWROD={PASSWORD}\nMAX_CONCURENT_AGENTS=3\nSURREALDB_XYZZYQ=1\n"
        "DATABASE_URL=x\nMAX_AGE=3\nLOG_LEVEL=INFO\n"
    )

    with structlog.testing.capture_logs() as lines:
        assert load(env_file=file) == Settings()
        load(env_file=file, log_level="ERROR")

    assert [(line["variable"], line.get("did_you_mean")) for line in lines] == [
        ("SURREALDB_USER", "SURREALDB_USERNAME"),
        ("SURREALDB_PASSWROD", "SURREALDB_PASSWORD"),
        ("MAX_CONCURENT_AGENTS", "MAX_CONCURRENT_AGENTS"),
        ("SURREALDB_XYZZYQ", None),
    ]
    assert "SURREALDB_NAMESPACE" in lines[3]["there_are"]
    assert PASSWORD not in str(lines)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_an_error_names_the_variable_and_where_it_was_found(name: str, text: str, tmp_path: Path) -> None:
    others = {"SURREALDB_USERNAME": "admin", "SURREALDB_PASSWORD": PASSWORD}

    with pytest.raises(InvalidSetting) as caught:
        load(others | {name.upper(): text})

    assert caught.value.variable == name.upper()
    assert str(caught.value).startswith(f"{name.upper()} ")
    assert "environment" in str(caught.value)
    assert str(caught.value).endswith(".")
    assert not str(caught.value).endswith("..")
    assert isinstance(caught.value, InvalidArgument)
    with pytest.raises(InvalidSetting, match=f"^{name.upper()} .*argument"):
        load(others, **{name: text})
    with pytest.raises(InvalidSetting, match=f"^{name.upper()} "):
        Settings(**{name: text})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("value", [3.5j, [], b"x"])
def test_a_value_of_no_possible_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidSetting, match=name.upper()):
        load(**{name: value})


def test_an_error_says_what_a_setting_can_be() -> None:
    with pytest.raises(InvalidSetting, match="DEBUG, INFO, WARNING, ERROR, CRITICAL"):
        load({"LOG_LEVEL": "LOUD"})
    with pytest.raises(InvalidSetting, match="surrealdb or memory"):
        load({"EVENT_BUS_BACKEND": "redis"})
    with pytest.raises(InvalidSetting, match="true or false"):
        load({"ENABLE_LIVE_QUERIES": "maybe"})


@pytest.mark.parametrize("given_", ["USERNAME", "PASSWORD"])
def test_name_and_password_go_together(given_: str) -> None:
    missing = {"USERNAME": "PASSWORD", "PASSWORD": "USERNAME"}[given_]

    with pytest.raises(InvalidSetting, match=f"^SURREALDB_{missing} is missing") as caught:
        load({f"SURREALDB_{given_}": PASSWORD})

    assert PASSWORD not in str(caught.value)


def test_an_argument_that_is_none_of_them_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="'log_lvl'"):
        Settings.load(log_lvl="INFO")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidEnvFile, match="there is no such file"):
        load(env_file=tmp_path / "missing.env")
    (tmp_path / "b.env").write_bytes(b"LOG_LEVEL=\xff\xfe")
    with pytest.raises(InvalidEnvFile, match=r"b\.env"):
        load(env_file=tmp_path / "b.env")


def test_a_directory_named_env_is_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").mkdir()
    monkeypatch.chdir(tmp_path)

    assert Settings.load() == Settings()


def test_a_line_that_is_none_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "a.env"
    file.write_text(f"LOG_LEVEL=INFO\nSURREALDB_PASSWORD='{PASSWORD}\nSURREALDB_USERNAME=x\n")

    with pytest.raises(InvalidEnvFile, match="line 2") as caught:
        load(env_file=file)

    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_secrets_are_nowhere_to_be_read() -> None:
    settings = load(ENVIRONMENT | {"SURREALDB_USERNAME": PASSWORD})

    assert settings.surrealdb_password is not None
    assert settings.surrealdb_password.reveal() == PASSWORD
    shown = [repr(settings), str(settings), f"{settings}", f"{settings.surrealdb_password}"]
    shown += [
        str(msgspec.structs.asdict(settings)),
        json.dumps(msgspec.structs.asdict(settings), default=str),
    ]
    shown += [repr(list(settings.__rich_repr__()))]
    assert not [text for text in shown if PASSWORD in text]
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)
    with pytest.raises(TypeError):
        pickle.dumps(settings)
    assert copy.deepcopy(settings) == settings


@given(st.text(min_size=1).filter(lambda text: text.strip() and "\0" not in text))
def test_a_password_is_taken_as_it_stands_and_never_repeated(text: str) -> None:
    wrong = f"{text}\0"
    environ = {"SURREALDB_USERNAME": "admin", "SURREALDB_PASSWORD": text}

    assert load(environ).surrealdb_password == Secret(text)
    with pytest.raises(InvalidSetting) as caught:
        load(environ | {"SURREALDB_PASSWORD": wrong})
    assert caught.value.args == (
        "SURREALDB_PASSWORD cannot be used (from the environment); it can be a text without null characters.",
    )


@pytest.mark.parametrize(
    "url",
    [f"ws://root:{PASSWORD}\udcff@h:1", f"ws://root:{PASSWORD}@h:1", f"root:{PASSWORD}@h", PASSWORD.encode()],
)
def test_what_somebody_has_put_into_an_address_is_not_repeated(url: Any) -> None:
    with pytest.raises(InvalidSetting, match="SURREALDB_URL") as caught:
        load(
            {"SURREALDB_URL": url} if isinstance(url, str) else {},
            surrealdb_url=None if isinstance(url, str) else url,
        )
    shown = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in shown
    assert not str(caught.value).endswith("..")


def test_a_number_beyond_all_others_is_a_typed_error() -> None:
    with pytest.raises(InvalidSetting, match="AGENT_EXECUTION_TIMEOUT"):
        Settings(agent_execution_timeout=10**400)


@given(st.dictionaries(st.sampled_from(sorted(ENVIRONMENT)), st.text(), max_size=4))
def test_whatever_the_environment_holds_is_settings_or_an_error_with_a_name(environ: dict[str, str]) -> None:
    wrong = ""
    settings = load()
    try:
        settings = load(environ)
    except InvalidSetting as error:
        wrong = error.variable

    if wrong:
        assert wrong in ENVIRONMENT
    else:
        assert load(**{name: getattr(settings, name) for name in VALUES}) == settings
