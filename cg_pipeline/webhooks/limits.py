"""How much of the webhook receiver one sender may use: requests each second, and the size of a body."""

import math
import time
from collections.abc import Callable

MOST_BYTES = 4 * 1024 * 1024  # a Meta body of 1,000 changes has about 1 MB
BODY_SECONDS = 20


class TokenBucket:
    """Lets `rate` requests pass each second, and those of one second at once."""

    def __init__(self, rate: float, seconds: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._seconds = rate, seconds
        self._tokens, self._filled_at = rate, seconds()

    def take(self) -> int:
        """0 when the request may pass, otherwise in how many whole seconds one may."""
        now = self._seconds()
        self._tokens = min(self._rate, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return math.ceil((1 - self._tokens) / self._rate)
        self._tokens -= 1
        return 0
