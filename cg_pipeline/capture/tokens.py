"""The tokens of sites: encrypted in their rows, renewed by one writer at a time, stored before they are used."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from cg_pipeline.capture.access import ConnectedSite, Platforms
from cg_pipeline.errors import CgError, Disconnected
from cg_pipeline.platforms.connectors import connector
from cg_pipeline.platforms.contract import Renewal
from cg_pipeline.platforms.records import Tokens
from cg_pipeline.security.vault import KeyRing
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.sql import query

ACCESS, REFRESH = "sites.access_token", "sites.refresh_token"


def store(connection: Connection, ring: KeyRing, site_id: UUID, tokens: Tokens, now: datetime) -> None:
    """Encrypt the tokens into the row of their site."""
    refresh = ring.encrypt(tokens.refresh, f"{REFRESH}:{site_id}") if tokens.refresh else None
    values = {
        "site_id": site_id,
        "access": ring.encrypt(tokens.access, f"{ACCESS}:{site_id}"),
        "refresh": refresh,
        "expiry": tokens.expires_at,
        "scope": tokens.scope,
        "now": now,
    }
    connection.execute(query("platforms.put_tokens"), values)


class SiteTokens:
    """The access token of one site, for a caller. Read once, and again when it is refused."""

    def __init__(self, platforms: Platforms, site: ConnectedSite) -> None:
        self._platforms, self._site, self._connector = platforms, site, connector(site.platform)
        self._tokens: Tokens | None = None
        self._not_renewed = ""
        self._secrets = {platforms.app(site.platform).client_secret}

    def current(self) -> str:
        """The token to ask with, renewed where its end is near; one that cannot be renewed is used to its end."""
        if self._tokens is None:
            with self._platforms.warehouse.connect() as connection:
                self._tokens = self._read(connection, query("platforms.read_tokens"))
        tokens, now = self._tokens, self._platforms.clock.now()
        if tokens.access == self._not_renewed or not self._connector.renew_before(tokens, now):
            return tokens.access
        try:
            return self.renew(tokens.access)
        except CgError:
            if tokens.expires_at is None or tokens.expires_at <= now:
                raise
            self._not_renewed = tokens.access
            return tokens.access

    def renew(self, refused: str) -> str:
        """Another token than this one. It is committed before anybody uses it: single-use pairs exist only once.

        Raises Disconnected when the platform no longer renews, Unavailable when it does not answer.
        """
        with self._platforms.warehouse.connect() as connection:
            tokens = self._read(connection, query("platforms.lock_tokens"))
            if tokens.access == refused:
                now = self._platforms.clock.now()
                tokens = self._connector.renew(self._renewal(tokens, now))
                self._remember(tokens)
                store(connection, self._platforms.ring, self._site.id, tokens, now)
        self._tokens = tokens
        return tokens.access

    def hide(self, text: str) -> str:
        """The text without the tokens of the site and the secret of the app: platforms repeat them in their answers."""
        for secret in self._secrets - {""}:
            text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
        return text

    def _remember(self, tokens: Tokens) -> None:
        self._secrets |= {tokens.access, tokens.refresh or ""}

    def _renewal(self, tokens: Tokens, now: datetime) -> Renewal:
        platforms, platform = self._platforms, self._site.platform
        return Renewal(platforms.transport, platforms.address(platform), platforms.app(platform), tokens, now)

    def _read(self, connection: Connection, statement: Any) -> Tokens:
        row: Mapping[str, Any] = connection.execute(statement, {"site_id": self._site.id}).fetchone() or {}
        access, refresh = row.get("access_token"), row.get("refresh_token")
        if access is None:
            message = "The site has no token: connect it with `cg site token`."
            raise Disconnected(message)
        tokens = Tokens(
            self._platforms.ring.decrypt(access, f"{ACCESS}:{self._site.id}"),
            self._platforms.ring.decrypt(refresh, f"{REFRESH}:{self._site.id}") if refresh else None,
            row["token_expiry"],
            row["scope"],
        )
        self._remember(tokens)
        return tokens
