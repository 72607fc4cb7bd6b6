"""How the platforms are reached: addresses, apps, keys, connected sites. What is asked of them is not known here."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from uuid import UUID

from cg_pipeline.clock import Clock
from cg_pipeline.config import Settings
from cg_pipeline.errors import NotFound
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.platforms.http import Http, Transport
from cg_pipeline.platforms.records import App
from cg_pipeline.security.vault import KeyRing
from cg_pipeline.warehouse.database import Connection, Warehouse
from cg_pipeline.warehouse.sql import query


@dataclass(frozen=True)
class Platforms:
    """What captures need besides the day."""

    warehouse: Warehouse
    settings: Settings
    clock: Clock
    transport: Transport = field(default_factory=Http)
    sleep: Callable[[float], None] = time.sleep

    @cached_property
    def ring(self) -> KeyRing:
        """The keys of the tokens. Raises ConfigError when there are none."""
        return KeyRing.from_setting(self.settings.encryption_keys)

    def require_keys(self) -> None:
        """Raises ConfigError when there are no keys: no site's fault."""
        KeyRing.from_setting(self.settings.encryption_keys)

    def address(self, platform: str) -> str:
        """Where the platform's API is."""
        return self.settings.platforms[platform].get("API_URL", connector(platform).base_url).rstrip("/")

    def app(self, platform: str) -> App:
        """The app that is registered with the platform."""
        of_platform = self.settings.platforms[platform]
        return App(of_platform.get("CLIENT_ID", ""), of_platform.get("CLIENT_SECRET", ""))


@dataclass(frozen=True)
class ConnectedSite:
    """A site that has been connected to its platform."""

    id: UUID
    name: str
    platform: str
    platform_id: str
    platform_username: str | None
    scope: str | None
    sync_status: str
    api_quota: int | None
    api_quota_reset: datetime | None
    currency: str | None
    demographics: bool


def connected_sites(connection: Connection, platform: str, named: Sequence[str] = ()) -> list[ConnectedSite]:
    """The connected sites of a platform, or those of them that are named. Raises NotFound for a name that none has."""
    values = {"platform": platform, "sites": list(named)}
    sites = [ConnectedSite(**row) for row in connection.execute(query("platforms.connected_sites"), values)]
    known = {name for site in sites for name in (str(site.id), site.name, site.platform_id, site.platform_username)}
    if unknown := [name for name in named if name not in known]:
        message = f"No connected {platform} site is called {', '.join(unknown)}: see `cg site list`."
        raise NotFound(message)
    return sites
