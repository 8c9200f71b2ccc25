from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hashserver.settings import Settings, SettingsError, as_environment, load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, without settings in the environment."""
    for name in [name for name in os.environ if name.upper().startswith("HASHSERVER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(**flags: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(**flags)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_any_setting_the_defaults_are_safe() -> None:
    settings = load_settings()
    assert settings.host == "127.0.0.1"
    assert settings.max_hashes == 1_000_000
    assert settings.max_body_bytes == 64 << 20


def test_flags_win_over_the_environment_and_that_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "hashserver.toml").write_text("port = 1\nworkers = 2\nmax_hashes = 3\n")
    monkeypatch.setenv("HASHSERVER_PORT", "10")
    monkeypatch.setenv("HASHSERVER_WORKERS", "20")
    settings = load_settings(port=100)
    assert (settings.port, settings.workers, settings.max_hashes) == (100, 20, 3)


def test_a_flag_that_was_not_given_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHSERVER_PORT", "10")
    assert load_settings(port=None).port == 10


def test_a_flag_may_be_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHSERVER_PORT", "10")
    assert load_settings(port=0).port == 0


def test_the_file_may_be_named_by_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "hashserver.toml").write_text("port = 1\n")
    (folder / "other.toml").write_text("port = 2\n")
    monkeypatch.setenv("HASHSERVER_CONFIG", str(folder / "other.toml"))
    assert load_settings().port == 2


BAD = [
    ("port", "65536", "less than or equal to 65535"),
    ("port", "-1", "greater than or equal to 0"),
    ("port", "http", "integer"),
    ("workers", "0", "greater than or equal to 1"),
    ("max_hashes", "0", "greater than or equal to 1"),
    ("max_hashes", "1.5", "integer"),
    ("max_body_bytes", "1023", "greater than or equal to 1024"),
    ("refresh_seconds", "0", "greater than 0"),
    ("refresh_seconds", "0.6", "less than or equal to 0.5"),
    ("refresh_seconds", "nan", ""),
]


@pytest.mark.parametrize(("name", "value", "reason"), BAD)
def test_a_bad_value_names_the_setting_wherever_it_stands(
    name: str, value: str, reason: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [refused(**{name: value})]
    monkeypatch.setenv(f"HASHSERVER_{name.upper()}", value)
    messages.append(refused())
    monkeypatch.delenv(f"HASHSERVER_{name.upper()}")
    (folder / "hashserver.toml").write_text(f'{name} = "{value}"\n')
    messages.append(refused())
    for message in messages:
        assert f"setting '{name}'" in message
        assert f"HASHSERVER_{name.upper()}" in message
        assert reason in message


def test_an_unknown_flag_is_refused_by_name() -> None:
    assert "'prot'" in refused(prot=80)


def test_an_unknown_name_in_the_file_is_refused_by_name(folder: Path) -> None:
    (folder / "hashserver.toml").write_text("prot = 80\n")
    assert "'prot'" in refused()


@pytest.mark.parametrize("text", ["port = ", "port 80", "[port", "port = 1\nport = 2", 'host = "a'])
def test_a_file_that_is_not_toml_says_where(folder: Path, text: str) -> None:
    (folder / "hashserver.toml").write_text("workers = 1\n" + text)
    message = refused()
    assert "hashserver.toml" in message
    assert "line 2" in message or "line 3" in message or "end of document" in message


def test_a_broken_file_is_named_as_it_is_called(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "other.toml").write_text("port = ")
    monkeypatch.setenv("HASHSERVER_CONFIG", str(folder / "other.toml"))
    assert "other.toml" in refused()


def test_a_file_that_the_environment_names_has_to_be_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHSERVER_CONFIG", str(folder / "missing.toml"))
    assert "missing.toml" in refused()


def test_a_file_that_cannot_be_read_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHSERVER_CONFIG", str(folder))
    assert str(folder) in refused()


def test_another_process_reads_the_same_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        data_dir=Path("store"), host="::1", port=0, workers=3, max_hashes=7, refresh_seconds=0.25, max_matches=9
    )
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert load_settings().model_dump() == settings.model_dump() | {"data_dir": folder / "store"}


# What Kubernetes sets in every pod of a namespace with a service named hashserver.
OF_A_SERVICE = {
    "HASHSERVER_SERVICE_HOST": "10.0.0.1",
    "HASHSERVER_SERVICE_PORT": "8080",
    "HASHSERVER_SERVICE_PORT_HTTP": "8080",
    "HASHSERVER_PORT": "tcp://10.0.0.1:8080",
    "HASHSERVER_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "HASHSERVER_PORT_8080_TCP_PROTO": "tcp",
    "HASHSERVER_PORT_8080_TCP_PORT": "8080",
    "HASHSERVER_PORT_8080_TCP_ADDR": "10.0.0.1",
}


def test_variables_of_a_service_of_the_same_name_are_ignored_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in OF_A_SERVICE.items():
        monkeypatch.setenv(name, value)
    assert load_settings().port == 8080
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in said] == list(OF_A_SERVICE)
    assert all(line.endswith(": it is what Kubernetes sets for a service of this name") for line in said)
    assert load_settings().port == 8080
    assert capsys.readouterr().err == "", "said once; child processes inherit what is left"


def test_a_variable_that_is_no_setting_is_named_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HASHSERVER_WORKER", "8")
    monkeypatch.setenv("HASHSERVER_URL", "https://hashes.example.org")
    assert load_settings().workers == 1
    assert capsys.readouterr().err == (
        "hashserver: HASHSERVER_WORKER is ignored: there is no such setting; "
        "HASHSERVER_WORKERS was perhaps meant\n"
    )


def test_settings_do_not_change_once_read() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())
