"""A sandbox beside an installation, whose clocks go together: for the demo. The platforms' answers are in `sandbox`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from urllib.parse import urlsplit

import requests

from cg_pipeline.capture import sites, tokens
from cg_pipeline.clock import FixedClock, RunningClock, SystemClock
from cg_pipeline.config import PLATFORMS
from cg_pipeline.errors import NotFound
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.platforms.records import Tokens
from cg_pipeline.sandbox.server import Sandbox, serving, vendors
from cg_pipeline.sandbox.world import Account
from cg_pipeline.warehouse.sql import query

NOON = time(12, tzinfo=UTC)


@dataclass
class Simulation:
    """The sandbox, and the time at which it and the pipeline live."""

    sandbox: Sandbox
    addresses: dict[str, str]

    def go_to(self, day: date, moment: time = NOON) -> None:
        """Let it be noon of a day, or another time, for runs that begin from now on too.

        The sandbox's clock stands still, so that its counters do not depend on how fast it is asked.
        """
        self.sandbox.clock = FixedClock(datetime.combine(day, moment))
        shift = self.sandbox.now - SystemClock().now()
        os.environ["CG_CLOCK_SHIFT_SECONDS"] = str(round(shift.total_seconds()))

    def run_on(self) -> None:
        """Let time pass in the sandbox from now on."""
        self.sandbox.clock = RunningClock(self.sandbox.now)

    def connect(self, pipeline: Pipeline) -> None:
        """Connect all accounts of the sandbox, known sites too: its tokens live no longer than it does."""
        for platform in PLATFORMS:
            for account in self.sandbox.world.accounts[platform]:
                self._connect(pipeline, account)

    def _connect(self, pipeline: Pipeline, account: Account) -> None:
        grant = vendors()[account.platform].connect(self.sandbox, account)
        with pipeline.warehouse.connect() as connection:
            known = connection.execute(query("sites.find"), {"site": account.platform_id}).fetchone()
            site = (
                sites.find(connection, account.platform_id)
                if known
                else sites.add(connection, account.platform, account.platform_id, account.name, account.username)
            )
            if account.platform == "facebook" and not known:
                sites.put_setting(connection, site, "currency", account.currency, pipeline.clock)
            if account.platform == "youtube" and account.number == 0 and not known:
                sites.put_setting(connection, site, "demographics", "on", pipeline.clock)
            pair = Tokens(grant.access, grant.refresh, grant.expires_at)
            tokens.store(connection, pipeline.platforms.ring, site.id, pair, self.sandbox.now)


@contextmanager
def simulated(sandbox: Sandbox) -> Iterator[Simulation]:
    """Serve a sandbox, and let this process and its children take it for the platforms."""
    with serving(sandbox) as address:
        addresses = {f"CG_{platform.upper()}_API_URL": f"{address}/{platform}" for platform in PLATFORMS}
        addresses["CG_YOUTUBE_HUB_URL"] = f"{address}/youtube/hub/subscribe"
        os.environ |= addresses
        for platform in PLATFORMS:
            os.environ[f"CG_{platform.upper()}_CLIENT_ID"] = "sandbox"
            os.environ[f"CG_{platform.upper()}_CLIENT_SECRET"] = "sandbox-secret"
        yield Simulation(sandbox, addresses)


def connection_of_sandbox(api_url: str, platform: str, platform_id: str) -> Tokens | None:
    """The tokens of an account, when the platform's address is that of a sandbox on this machine; otherwise None.

    Raises NotFound when the sandbox has no such account.
    """
    address = api_url.removesuffix(f"/{platform}")
    if urlsplit(address).hostname not in {"127.0.0.1", "localhost"}:
        return None
    answer = requests.post(f"{address}/_sandbox/connect/{platform}/{platform_id}", timeout=10)
    if not answer.ok:
        message = f"The sandbox at {address} has no {platform} account {platform_id}: it lists them when it starts."
        raise NotFound(message)
    given = answer.json()
    expiry = given["expires_at"] and datetime.fromisoformat(given["expires_at"])
    return Tokens(given["access_token"], given["refresh_token"], expiry)
