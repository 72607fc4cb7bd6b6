"""Settings: what the environment and `$CG_HOME/.env` say, checked once, in one place. No work happens at import.

The environment wins over the file. Names and defaults are in `DEFAULTS`; anything that needs a database does not
belong here.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values

from cg_pipeline.errors import ConfigError

PROJECT = Path(__file__).resolve().parents[1]

DEFAULTS = {
    "CG_TIMEZONE": ("UTC", "reporting zone: a day is a calendar day here"),
    "CG_HISTORY_START": ("2024-01-01", "first day of all partitions: a Monday on which a quarter begins"),
    "CG_INBOX": ("", "folder or bucket (fsspec URL) for CSV exports; empty: the folder inbox beside this file"),
    "CG_DATABASE_URL": ("", "PostgreSQL 15 or newer for the warehouse; empty: the embedded server"),
    "CG_DAGSTER_URL": ("", "PostgreSQL database for Dagster's storage; empty: <warehouse>_dagster on the same server"),
    "CG_SETTLE_SECONDS": ("30", "how long a stale window rests after its last change before it is recomputed"),
    "CG_SETTLE_LIMIT_SECONDS": ("900", "the longest that a stale window waits while changes keep coming"),
    "CG_CLOSING_GRACE_HOURS": (
        "6",
        "how long after midnight a platform that only knows now may still fill the day before",
    ),
    "CG_ANSWERS_KEPT_DAYS": ("35", "how long the platforms' answers are kept, from which a day can be read again"),
    "CG_SITES_AT_ONCE": (
        "16",
        "how many sites of a platform are read at the same time; each holds a database connection",
    ),
    "CG_WEBHOOK_URL": (
        "",
        "address under which the platforms reach the webhook receiver, such as https://hooks.example.org",
    ),
    "CG_WEBHOOK_LEASE_SECONDS": ("900", "how long a run has the webhook events that it was requested for"),
    "CG_WEBHOOK_RATE_PER_SECOND": ("1000", "how many webhook requests of a platform are taken each second, at most"),
    "CG_FINGERPRINTS_KEPT_DAYS": ("90", "how long a webhook event is recognised when it is delivered again"),
    "CG_ENCRYPTION_KEYS": (
        "",
        "keys of the tokens, newest first; made by `cg init`: without it the tokens cannot be read",
    ),
}
PLATFORMS = ("facebook", "instagram", "youtube", "tiktok", "twitter", "threads")
OF_A_PLATFORM = ("API_URL", "CLIENT_ID", "CLIENT_SECRET", "WEBHOOK_SECRETS", "WEBHOOK_VERIFY_TOKEN", "HUB_URL")
"""For each platform CG_<PLATFORM>_...: another address of its API, the app that is registered with it, and for its
webhooks: the secrets of their signatures, several during a rotation (default: the client secret), the token by which a
subscription is verified, and the WebSub hub."""


@dataclass(frozen=True)
class Settings:
    """One installation: everything that it writes lives under `home`."""

    home: Path
    timezone: ZoneInfo
    history_start: date
    inbox: str
    database_url: str | None
    dagster_url: str | None
    settle: timedelta
    settle_limit: timedelta
    closing_grace: timedelta
    answers_kept: timedelta
    sites_at_once: int
    webhook_url: str
    webhook_lease: timedelta
    webhook_rate: int
    fingerprints_kept: timedelta
    encryption_keys: str = field(repr=False)
    platforms: Mapping[str, Mapping[str, str]] = field(repr=False)
    """By platform what is set of `OF_A_PLATFORM`."""

    @property
    def env_file(self) -> Path:
        """The file that `cg init` writes."""
        return self.home / ".env"

    @property
    def dagster_home(self) -> Path:
        """What Dagster calls DAGSTER_HOME."""
        return self.home / "dagster"


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of the installation that `CG_HOME` names (default `.cg` in the project folder).

    Raises ConfigError when a value is unusable, naming the variable and what it may be.
    """
    home = Path(environ.get("CG_HOME") or PROJECT / ".cg").expanduser().resolve()
    given = {**dotenv_values(home / ".env"), **environ}
    value = {name: given.get(name) or default for name, (default, _) in DEFAULTS.items()}
    return Settings(
        home=home,
        timezone=_zone(value["CG_TIMEZONE"]),
        history_start=_history_start(value["CG_HISTORY_START"]),
        inbox=value["CG_INBOX"] or str(home / "inbox"),
        database_url=value["CG_DATABASE_URL"] or None,
        dagster_url=value["CG_DAGSTER_URL"] or None,
        settle=_seconds("CG_SETTLE_SECONDS", value),
        settle_limit=_seconds("CG_SETTLE_LIMIT_SECONDS", value),
        closing_grace=_whole("CG_CLOSING_GRACE_HOURS", value, "hours") * timedelta(hours=1),
        answers_kept=_whole("CG_ANSWERS_KEPT_DAYS", value, "days") * timedelta(days=1),
        sites_at_once=max(1, _whole("CG_SITES_AT_ONCE", value, "sites")),
        webhook_url=value["CG_WEBHOOK_URL"].rstrip("/"),
        webhook_lease=_seconds("CG_WEBHOOK_LEASE_SECONDS", value),
        webhook_rate=max(1, _whole("CG_WEBHOOK_RATE_PER_SECOND", value, "requests")),
        fingerprints_kept=_whole("CG_FINGERPRINTS_KEPT_DAYS", value, "days") * timedelta(days=1),
        encryption_keys=value["CG_ENCRYPTION_KEYS"],
        platforms={platform: _of_platform(platform, given) for platform in PLATFORMS},
    )


def write_env_file(settings: Settings, made: Mapping[str, str] | None = None) -> list[str]:
    """Add to the installation's `.env` each setting that it lacks, and return their names. Never changes a line.

    `made` are the values of settings that are made for this installation. Only the owner may read the file.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    present = dotenv_values(settings.env_file)
    given = dict(made or {})
    known = DEFAULTS | {name: (value, "for this installation") for name, value in given.items() if name not in DEFAULTS}
    missing = {name: pair for name, pair in known.items() if name not in present}
    if missing:
        text = settings.env_file.read_text(encoding="utf-8") if settings.env_file.exists() else ""
        with settings.env_file.open("a", encoding="utf-8") as file:
            file.write("" if text.endswith("\n") or not text else "\n")  # the last line may be unfinished
            for name, (default, meaning) in missing.items():
                file.write(f"# {meaning}\n{name}={given.get(name, default)}\n")
        settings.env_file.chmod(0o600)
    return list(missing)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a folder of zones, such as America
        message = f"CG_TIMEZONE={name} is no time zone; use a name such as UTC or America/Los_Angeles."
        raise ConfigError(message) from error


def _history_start(text: str) -> date:
    """Days, weeks, months and quarters must begin together, or the first week would reach back before the first day."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        message = f"CG_HISTORY_START={text} is no date; write it like 2024-01-01."
        raise ConfigError(message) from error
    if not _starts_everything(day):
        earlier = next(d for n in range(1, 12_000) if _starts_everything(d := day - timedelta(days=n)))
        message = f"CG_HISTORY_START={text} must be a Monday on which a quarter begins; use {earlier}."
        raise ConfigError(message)
    return day


def _starts_everything(day: date) -> bool:
    return day.weekday() == 0 and day.day == 1 and day.month in {1, 4, 7, 10}


def _seconds(name: str, value: Mapping[str, str]) -> timedelta:
    return timedelta(seconds=_whole(name, value, "seconds"))


def _whole(name: str, value: Mapping[str, str], unit: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", value[name]):
        message = f"{name}={value[name]} must be a whole number of {unit}."
        raise ConfigError(message)
    return int(value[name])


def _of_platform(platform: str, given: Mapping[str, str | None]) -> dict[str, str]:
    names = {name: f"CG_{platform.upper()}_{name}" for name in OF_A_PLATFORM}
    return {name: value for name, variable in names.items() if (value := given.get(variable))}
