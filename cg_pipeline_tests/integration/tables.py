"""What tests compare: the stored tables without ids and times, the versions of their rows, and the recomputation of all
that is stale, as the sensor would request it."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cg_pipeline.clock import Clock
from cg_pipeline.history import deltas, stale
from cg_pipeline.history.windows import Kind, end_of
from cg_pipeline.royalties import accruals
from cg_pipeline.warehouse.database import Warehouse

CONTENT = {
    "sites": "select platform, platform_id, name from sites",
    "posts": """select to_jsonb(p) - '{created_at,updated_at,site_id,artist_id}'::text[] as post, s.platform_id, a.name
                from posts p left join sites s on s.id = p.site_id left join artists a on a.id = p.artist_id""",
    "post_versions": "select post_id, data_source, observed_from, attributes from post_versions",
    "snapshots": """select to_jsonb(n) - '{id,observed_at,sync_log_id,site_id}'::text[] as snapshot, s.platform_id
                    from snapshots n left join sites s on s.id = n.site_id""",
    "deltas": """select to_jsonb(d) - '{id,computed_at,artist_id}'::text[] as delta, a.name
                 from deltas d left join artists a on a.id = d.artist_id""",
    "royalty_lines": """select to_jsonb(l) - '{id,computed_at,artist_id}'::text[] as line, a.name
                        from royalty_lines l left join artists a on a.id = l.artist_id""",
    "quarantine": "select snapshot_date, line_number, column_name, post_id, reason, raw_data from quarantine",
}
VERSIONS = {
    "posts": "select post_id as key, xmin::text from posts",
    "post_versions": "select post_id || observed_from as key, xmin::text from post_versions",
    "snapshots": "select post_id || snapshot_date as key, xmin::text from snapshots",
    "deltas": "select post_id || period || period_start as key, xmin::text from deltas",
    "royalty_lines": "select id::text as key, xmin::text from royalty_lines",
}


def stored_tables(warehouse: Warehouse) -> dict[str, list[str]]:
    """The content of every table that a capture or a recomputation fills, in an order of its own."""
    with warehouse.connect() as connection:
        return {
            name: sorted(str(tuple(row.values())) for row in connection.execute(statement))
            for name, statement in CONTENT.items()
        }


def row_versions(warehouse: Warehouse) -> dict[str, dict[str, str]]:
    """By which transaction each row was written: a row that is not rewritten keeps it."""
    with warehouse.connect() as connection:
        return {
            name: {row["key"]: row["xmin"] for row in connection.execute(statement)}
            for name, statement in VERSIONS.items()
        }


def recompute_stale(warehouse: Warehouse, timezone: ZoneInfo, clock: Clock) -> int:
    """Run what is stale until nothing is, and return how many windows that took."""
    windows = 0
    at_once = timedelta(0)
    while runs := stale.plan_runs(stale.pending(warehouse), clock.now(), at_once, at_once):
        for run in runs:
            starts = [run.first]
            while starts[-1] < run.last:
                starts.append(end_of(run.kind, starts[-1]))
            if run.kind is Kind.ROYALTY:
                done: Any = accruals.accrue(warehouse, starts, timezone, clock)
            else:
                done = deltas.recompute(warehouse, run.kind, starts, timezone, clock)
            windows += len(done.windows)
    return windows
