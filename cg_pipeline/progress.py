"""How a long job tells how far it is, whoever listens: a bar on a terminal, or the log of a Dagster step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int], None]

_listener: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)


def report(what: str, count: int) -> None:
    """Say that `count` of something (rows, windows) are done in `what`. Nobody need listen."""
    if listener := _listener.get():
        listener(what, count)


@contextmanager
def listening(listener: Listener, *, over: bool = True) -> Iterator[None]:
    """Let `listener` hear what is reported in this block; with `over=False` only if nobody listens yet."""
    token = _listener.set(listener if over else _listener.get() or listener)
    try:
        yield
    finally:
        _listener.reset(token)
