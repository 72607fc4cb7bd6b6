"""The one place where the time is read. All else receives a `Clock`, so that rules can be tested and repeated."""

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
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


@dataclass(frozen=True)
class ShiftedClock:
    """A clock that is off by a fixed time, and runs: for simulations in which several processes take part."""

    shift: timedelta

    def now(self) -> datetime:
        """The present instant, shifted."""
        return SystemClock().now() + self.shift


class RunningClock(FixedClock):
    """A clock that was set once and runs from there."""

    def __init__(self, instant: datetime) -> None:
        super().__init__(instant)
        self._began = time.monotonic()

    def now(self) -> datetime:
        """The instant it was set to, and the time since."""
        return self.instant + timedelta(seconds=time.monotonic() - self._began)


def today(clock: Clock, zone: ZoneInfo) -> date:
    """The calendar day in the reporting zone."""
    return clock.now().astimezone(zone).date()
