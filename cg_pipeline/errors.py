"""The error tree. Every error that the pipeline raises on purpose is one of these; nothing else belongs here.

    CgError
    ├── Permanent            stays wrong until a person changes something
    │   ├── ConfigError      a setting is missing or unusable
    │   ├── NotFound         a site, artist or post that a command names does not exist
    │   ├── FileRefused      a CSV file cannot be taken as it is
    │   └── MoneyMismatch    amounts that must agree do not
    ├── Transient            may succeed when tried again
    │   └── Unavailable      a server or a bucket does not answer
    └── Skippable            concerns one record; the others go on
        └── BadRow           one row of a file goes to quarantine

A message says what is wrong, where, and what to do.
"""


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


class Unavailable(Transient):
    """A server or a bucket does not answer."""


class BadRow(Skippable):
    """One row of a file cannot be used; it goes to quarantine with this reason."""


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
