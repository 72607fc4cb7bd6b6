"""The error tree. Every error that the pipeline raises on purpose is one of these; nothing else belongs here.

    CgError
    ├── Permanent            stays wrong until a person changes something
    │   ├── ConfigError      a setting is missing or unusable
    │   ├── NotFound         a site, artist or post that a command names does not exist
    │   ├── FileRefused      a CSV file cannot be taken as it is
    │   ├── MoneyMismatch    amounts that must agree do not
    │   ├── NotAsOf          a source cannot tell of the day that was asked for
    │   └── Refused          a platform refuses what was asked
    │       ├── InvalidMetric    one of the metrics is retired or not for such posts
    │       ├── AccessDenied     a permission or a role is missing
    │       ├── CreditsDepleted  the app has no credits left
    │       └── Disconnected     the token is dead: a person must connect the site again
    ├── Transient            may succeed when tried again
    │   ├── Unavailable      a server or a bucket does not answer, or not in a form that can be read
    │   ├── Throttled        the platform wants a pause
    │   └── TokenExpired     the access token must be renewed
    └── Skippable            concerns one record; the others go on
        ├── BadRow           one row of a file goes to quarantine
        └── Gone             a post is no longer there, or not for this token

A message says what is wrong, where, and what to do.
"""

from datetime import datetime


class CgError(Exception):
    """Root of all errors that the pipeline raises on purpose."""


class Permanent(CgError):
    """Stays wrong until a person changes something; trying again is no use."""


class Transient(CgError):
    """May succeed when tried again."""


class Skippable(CgError):
    """Concerns one record; the others go on."""


class ConfigError(Permanent):
    """A setting is missing or unusable."""


class NotFound(Permanent):
    """What a command names does not exist."""


class MoneyMismatch(Permanent):
    """Amounts that must agree do not."""


class NotAsOf(Permanent):
    """A source cannot tell of the day that was asked for; nothing was requested."""


class Refused(Permanent):
    """A platform refuses what was asked, and will refuse it again."""


class InvalidMetric(Refused):
    """One of the metrics that were asked for is retired, or not for such posts."""


class AccessDenied(Refused):
    """A permission or a role is missing."""


class CreditsDepleted(Refused):
    """The app has no credits left: every further request would fail too."""


class Disconnected(Refused):
    """The token is dead and cannot be renewed: a person must connect the site again."""


class Unavailable(Transient):
    """A server or a bucket does not answer, or not in a form that can be read."""


class Throttled(Transient):
    """The platform wants a pause; `retry_at` says until when, where it tells."""

    def __init__(self, message: str, retry_at: datetime | None = None) -> None:
        super().__init__(message)
        self.retry_at = retry_at


class TokenExpired(Transient):
    """The access token is no longer accepted: renew it and ask again."""


class BadRow(Skippable):
    """One row of a file cannot be used; it goes to quarantine with this reason."""


class Gone(Skippable):
    """A post is no longer there, or this token may no longer see it."""


class FileRefused(Permanent):
    """A CSV file cannot be taken as it is: nothing of it lands.

    `problem` and `remedy` are sentences; `line` (1 is the first line of the file) and `column` (a heading) are given
    where the problem has a place.
    """

    def __init__(self, problem: str, remedy: str, *, line: int | None = None, column: str | None = None) -> None:
        self.problem, self.remedy, self.line, self.column = problem, remedy, line, column
        super().__init__(problem, remedy)

    def at(self, line: int, column: str | None = None) -> "FileRefused":
        """The same refusal with its place."""
        return FileRefused(self.problem, self.remedy, line=line, column=column)

    def __str__(self) -> str:
        place = [f"line {self.line}"] if self.line is not None else []
        place += [f'column "{self.column}"'] if self.column is not None else []
        return f"{', '.join(place) + ': ' if place else ''}{self.problem} {self.remedy}"
