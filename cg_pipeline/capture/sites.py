"""Sites by name, and their settings: which there are, what they may be, what must be recomputed when one changes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cg_pipeline.capture.cells import CURRENCIES
from cg_pipeline.capture.layouts.mapped import ColumnMapping
from cg_pipeline.clock import Clock
from cg_pipeline.errors import ConfigError, NotFound
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.models import SiteSetting
from cg_pipeline.warehouse.sql import query


@dataclass(frozen=True)
class FoundSite:
    """A site as a command names one."""

    id: UUID
    name: str
    platform: str
    platform_id: str


def _currency(text: str) -> str:
    if text not in CURRENCIES:
        message = f'"{text}" is no currency: write its three capital letters (ISO 4217), such as USD.'
        raise ConfigError(message)
    return text


def _period(text: str) -> str:
    if text != "lifetime":
        message = f'"{text}" cannot be used: only tables with the period Lifetime hold lifetime counters: say lifetime.'
        raise ConfigError(message)
    return text


def _truth(text: str) -> bool:
    if text not in {"true", "false"}:
        message = f'"{text}" must be true or false.'
        raise ConfigError(message)
    return text == "true"


def _switch(text: str) -> bool:
    if text not in {"on", "off"}:
        message = f'"{text}" must be on or off.'
        raise ConfigError(message)
    return text == "on"


SETTINGS: dict[str, tuple[Callable[[str], Any], str]] = {
    "currency": (_currency, "payout currency of money columns that name none, such as USD"),
    "csv_period": (_period, "lifetime: the channel's YouTube Studio tables are exported with the period Lifetime"),
    "csv_mapping": (lambda text: ColumnMapping.parse(text).as_data(), "column mapping (YAML) of other tables"),
    "demographics": (_switch, "on: read a YouTube channel's viewers by age and gender too, which costs a call a video"),
    "pay_opening_balance": (_truth, "true: earnings from before the first capture are paid when they are first seen"),
}


def find(connection: Connection, name: str) -> FoundSite:
    """The site of that name, id, platform id or username. Raises NotFound, also when several match."""
    rows = connection.execute(query("sites.find"), {"site": name}).fetchall()
    if not rows:
        message = f'There is no site "{name}": see `cg site list`.'
        raise NotFound(message)
    if len(rows) > 1:
        message = f'"{name}" is the name of {len(rows)} sites: give the id, as `cg site list --json` prints it.'
        raise NotFound(message)
    return FoundSite(**rows[0])


def add(connection: Connection, platform: str, platform_id: str, name: str | None, username: str | None) -> FoundSite:
    """Add a site. Raises ConfigError when the platform's page is a site already."""
    shown = name or username or platform_id
    values = {"platform": platform, "platform_id": platform_id, "name": shown, "username": username}
    row = connection.execute(query("sites.add"), values).fetchone()
    if row is None:
        message = f"{platform} {platform_id} is a site already: see `cg site list`."
        raise ConfigError(message)
    return FoundSite(row["id"], shown, platform, platform_id)


def set_status(connection: Connection, site: FoundSite, status: str, clock: Clock) -> None:
    """Pause a site, or let it be captured again."""
    connection.execute(query("sites.set_status"), {"site_id": site.id, "status": status, "now": clock.now()})


def put_setting(connection: Connection, site: FoundSite, key: str, text: str, clock: Clock) -> None:
    """Set a site's setting, and mark what depends on it. Raises ConfigError for an unknown key or an unusable value."""
    if key not in SETTINGS:
        message = f'There is no setting "{key}". Settings are {", ".join(SETTINGS)}.'
        raise ConfigError(message)
    setting = SiteSetting()
    setting.set_value(SETTINGS[key][0](text))
    values = {
        "site_id": site.id,
        "key": key,
        "value": setting.setting_value,
        "type": setting.setting_type,
        "now": clock.now(),
    }
    connection.execute(query("sites.put_setting"), values)
    if key == "pay_opening_balance":
        days = [row["day"] for row in connection.execute(query("sites.opening_days"), values)]
        connection.execute(query("stale.mark"), values | {"kind": "daily", "days": days})
