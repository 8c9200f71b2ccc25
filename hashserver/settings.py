"""Settings from the command line, `HASHSERVER_*` variables and `hashserver.toml`, in this order."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from hashserver.errors import BadInput

MIB = 1 << 20
_OTHER_VARIABLES = {
    "HASHSERVER_CONFIG",
    "HASHSERVER_DEBUG",
    "HASHSERVER_KEY",
    "HASHSERVER_URL",
    "HASHSERVER_BENCH",
}
_AN_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")
_OF_A_SERVICE = re.compile(
    r"HASHSERVER_(PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?|SERVICE_(HOST|PORT(_\w+)?))"
)


class SettingsError(BadInput):
    """A setting is wrong; the message says which, where it came from, and what it should be."""


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(env_prefix="HASHSERVER_", extra="forbid", frozen=True)

    data_dir: Path = Field(
        Path("hashserver-data"), description="data folder: the store, the ledger and the key secret"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on; 0 lets the system choose")
    workers: int = Field(1, ge=1, le=256, description="number of server processes")
    max_hashes: int = Field(1_000_000, ge=1, description="most hashes in one request")
    max_body_bytes: int = Field(64 * MIB, ge=1024, description="largest request body as sent, in bytes")
    max_unpacked_bytes: int = Field(256 * MIB, ge=1024, description="largest request body unpacked, in bytes")
    max_matches: int = Field(1000, ge=1, description="most entries reported for one hash, nearest first")
    keep_generations: int = Field(
        10,
        ge=1,
        description="generations kept for rollback, including the current one: so many made by loads, with the "
        "one before each, and so many made by single entries",
    )
    disk_reserve_bytes: int = Field(
        256 * MIB,
        ge=0,
        description="free space in bytes that changes of the store leave on its disk, at most a 20th of it, so "
        "that hits can always be recorded",
    )
    load_memory_bytes: int = Field(
        512 * MIB, ge=MIB, description="memory in bytes for sorting a load before it spills to disk"
    )
    load_most_removed: float = Field(
        0.2, ge=0, le=1, description="largest share of a set's entries that a load may remove without --force"
    )
    load_most_rejected: float = Field(
        0.01, ge=0, le=1, description="largest share of the rows that a load may reject without --force"
    )
    map_size_bytes: int = Field(
        1 << 30, ge=MIB, description="initial address space of the store in bytes; it grows as needed"
    )
    keep_hits_days: int | None = Field(
        None, ge=1, description="days to keep single hits; sums of them are kept after that"
    )
    keep_counts_days: int | None = Field(None, ge=1, description="days to keep counts of checks")
    refresh_seconds: float = Field(
        0.1, gt=0, le=0.5, description="how often a worker looks for a new generation, in seconds"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where settings are looked for, in this order."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=_file())


def _file() -> Path:
    return Path(os.environ.get("HASHSERVER_CONFIG", "hashserver.toml"))


def ignore_foreign_variables() -> None:
    """Take variables out of the environment that look like settings and are none, with a warning.

    Kubernetes sets some for every service in the namespace: for one named hashserver they begin as
    ours do, and HASHSERVER_PORT is its address.
    """
    known = {f"HASHSERVER_{name.upper()}" for name in Settings.model_fields} | _OTHER_VARIABLES
    for name in [name for name in os.environ if name.upper().startswith("HASHSERVER_")]:
        full, value = name.upper(), os.environ[name]
        if full in known and not (full == "HASHSERVER_PORT" and _AN_ADDRESS.fullmatch(value)):
            continue
        del os.environ[name]
        if _OF_A_SERVICE.fullmatch(full):
            why = "it is what Kubernetes sets for a service of this name"
        else:
            meant = get_close_matches(full, sorted(known), 1)
            why = "there is no such setting" + (f"; {meant[0]} was perhaps meant" if meant else "")
        with suppress(OSError, ValueError):
            print(f"hashserver: {name} is ignored: {why}", file=sys.stderr)


def load_settings(**flags: Any) -> Settings:
    """Read the settings.

    Args:
        flags: settings from the command line; None if not given.

    Raises:
        SettingsError: a value is out of range, a name is unknown, or the file is not TOML.
    """
    ignore_foreign_variables()
    file = _file()
    if "HASHSERVER_CONFIG" in os.environ and not file.is_file():
        raise SettingsError(f"cannot read {file}, which HASHSERVER_CONFIG names: there is no such file")
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"setting {name!r}: {first['msg']} (from a flag, HASHSERVER_{name.upper()} or {file})"
        ) from error
    except (ValueError, OSError) as error:
        raise SettingsError(f"cannot read {file}: {error}") from error


def as_environment(settings: Settings) -> dict[str, str]:
    """Environment variables from which another process reads the same settings."""
    values = settings.model_dump()
    values["data_dir"] = settings.data_dir.resolve()
    return {f"HASHSERVER_{name.upper()}": str(value) for name, value in values.items() if value is not None}
