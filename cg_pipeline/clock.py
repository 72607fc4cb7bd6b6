"""The one place where the time is read. All else receives a `Clock`, so that rules can be tested and repeated."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present instant, with zone UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, with zone UTC."""
        return datetime.now(UTC)


@dataclass
class FixedClock:
    """A clock that stands still until it is set: for tests and simulations."""

    instant: datetime

    def now(self) -> datetime:
        """The instant it was set to."""
        return self.instant


def today(clock: Clock, zone: ZoneInfo) -> date:
    """The calendar day in the reporting zone."""
    return clock.now().astimezone(zone).date()
