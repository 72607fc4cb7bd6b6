"""Artists, their rates by date, and which posts are theirs. A change marks what must be recomputed."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from cg_pipeline.clock import Clock
from cg_pipeline.errors import ConfigError, NotFound
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.sql import query


@dataclass(frozen=True)
class Artist:
    """An artist as a command names one."""

    id: UUID
    name: str


def find(connection: Connection, name: str) -> Artist:
    """The artist of that name or id. Raises NotFound."""
    row = connection.execute(query("royalties.find_artist"), {"artist": name}).fetchone()
    if row is None:
        message = f'There is no artist "{name}": see `cg artist list`, or add one with `cg artist add`.'
        raise NotFound(message)
    return Artist(row["id"], row["name"])


def add(connection: Connection, name: str, email: str | None) -> Artist:
    """Add an artist, without a rate yet. Raises ConfigError when the name is taken: names are unique."""
    row = connection.execute(query("royalties.add_artist"), {"name": name, "email": email}).fetchone()
    if row is None:
        message = f'There is an artist "{name}" already.'
        raise ConfigError(message)
    return Artist(row["id"], name)


def set_rate(
    connection: Connection, artist: Artist, rate_pct: Decimal, from_day: date, today: date, clock: Clock
) -> list[date]:
    """Let a rate (percent of the earnings, 0 to 100, at most 4 decimals) be in force from a day on, until the next one.

    Marks the months that must be accrued again, and returns them. Raises ConfigError for a rate out of range.
    """
    if not (rate_pct.is_finite() and 0 <= rate_pct <= 100 and rate_pct == round(rate_pct, 4)):
        message = f"{rate_pct} is no rate: give a percentage from 0 to 100 with at most 4 decimals."
        raise ConfigError(message)
    values = {"artist_id": artist.id, "rate": rate_pct, "from_day": from_day, "today": today, "now": clock.now()}
    connection.execute(query("royalties.put_rate"), values)
    connection.execute(query("royalties.refresh_current_rates"), values)
    months = [row["month"] for row in connection.execute(query("royalties.months_with_deltas"), values)]
    connection.execute(query("stale.mark"), values | {"kind": "royalty", "days": months})
    return months


def assign(
    connection: Connection, artist: Artist | None, clock: Clock, *, tag: str | None = None, post_id: str | None = None
) -> int:
    """Give the posts with an asset tag, or one post, to an artist; None takes the assignment back.

    Posts that inherit from them (reels of a source video, re-uploads) follow. Marks the days whose deltas bear another
    artist now, and returns how many posts changed hands. Raises NotFound for a post that is not known.
    """
    values = {"artist_id": artist.id if artist else None, "tag": tag, "post_id": post_id, "now": clock.now()}
    if post_id is not None and connection.execute(query("royalties.find_post"), values).fetchone() is None:
        message = f'There is no post "{post_id}": a post id bears its platform, like facebook_1234567890.'
        raise NotFound(message)
    if artist is None:
        connection.execute(query("royalties.unassign"), values)
    else:
        connection.execute(query("royalties.assign_tag" if tag is not None else "royalties.assign_post"), values)
    connection.execute(query("posts.create_changed_posts"))
    connection.execute(query("posts.create_tag_groups"))
    connection.execute(query("posts.forget_changed_posts"))
    connection.execute(query("royalties.collect_assigned_posts"), values)
    changed = [row["post_id"] for row in connection.execute(query("posts.resolve_artists"), values)]
    days = [row["day"] for row in connection.execute(query("stale.delta_days"), {"posts": changed})]
    connection.execute(query("stale.mark"), values | {"kind": "daily", "days": days})
    return len(changed)
