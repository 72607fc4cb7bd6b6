"""The sandbox's tokens: issued, expiring and rotating as each platform's do. How it is worded is in their modules."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from cg_pipeline.sandbox.world import Account


@dataclass(frozen=True)
class Grant:
    """What was issued for an account. `family` names all tokens that descend from one consent."""

    account: Account
    family: int
    access: str
    refresh: str | None
    issued_at: datetime
    expires_at: datetime | None
    is_used: bool = False


class TokenStore:
    """All tokens of a sandbox."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now, self._numbers = now, count(1)
        self._by_access: dict[str, Grant] = {}
        self._by_refresh: dict[str, Grant] = {}
        self._revoked: set[int] = set()

    def issue(
        self, account: Account, life: timedelta | None, *, with_refresh: bool = False, family: int | None = None
    ) -> Grant:
        """Issue a token pair, or a lone access token; `life` None: it does not expire."""
        number, now = next(self._numbers), self._now()
        grant = Grant(
            account,
            family or number,
            f"sandbox-{account.platform}-access-{number}",
            f"sandbox-{account.platform}-refresh-{number}" if with_refresh else None,
            now,
            now + life if life is not None else None,
        )
        self._by_access[grant.access] = grant
        if grant.refresh:
            self._by_refresh[grant.refresh] = grant
        return grant

    def account_of(self, access: str) -> Account | None:
        """Whose token it is, while it is valid."""
        grant = self._by_access.get(access)
        return grant.account if grant and self.is_valid(grant) else None

    def grant_of(self, access: str) -> Grant | None:
        """The grant of a token, valid or not."""
        return self._by_access.get(access)

    def is_valid(self, grant: Grant) -> bool:
        """Whether it is neither expired nor revoked."""
        return grant.family not in self._revoked and (grant.expires_at is None or self._now() < grant.expires_at)

    def rotate(self, refresh: str, life: timedelta, *, single_use: bool) -> Grant | None:
        """A new pair for a refresh token; None when it is not accepted.

        Using a single-use one again revokes all that descends from the same consent.
        """
        grant = self._by_refresh.get(refresh)
        if grant is None or grant.family in self._revoked:
            return None
        if grant.is_used and single_use:
            self._revoked.add(grant.family)
            return None
        self._by_refresh[refresh] = replace(grant, is_used=True)
        return self.issue(grant.account, life, with_refresh=True, family=grant.family)

    def renew_access(self, refresh: str, life: timedelta) -> Grant | None:
        """A new access token for a refresh token that stays as it is; None when it is not accepted."""
        grant = self._by_refresh.get(refresh)
        if grant is None or grant.family in self._revoked:
            return None
        return self.issue(grant.account, life, family=grant.family)

    def expire(self, account: Account) -> None:
        """Let all access tokens of an account be expired."""
        for access, grant in list(self._by_access.items()):
            if grant.account == account:
                self._by_access[access] = replace(grant, expires_at=self._now())

    def revoke(self, account: Account) -> None:
        """Let all tokens of an account be dead for good."""
        self._revoked |= {grant.family for grant in self._by_access.values() if grant.account == account}
