"""`cg demo`: a small made-up world, run through the real jobs in an installation of its own."""

import hashlib
import os
import sys
import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from cg_pipeline import config
from cg_pipeline.capture import csv_files, sites
from cg_pipeline.cli.context import ready
from cg_pipeline.cli.output import console, show, steps
from cg_pipeline.cli.up import Port, serve
from cg_pipeline.config import write_env_file
from cg_pipeline.defs import run
from cg_pipeline.history.stale import RangeRun
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.royalties import artists
from cg_pipeline.royalties.accruals import payee_totals
from cg_pipeline.sandbox import exports
from cg_pipeline.warehouse.sql import query

ARTISTS = {"Mira Okafor": "70", "Dean Alvarez": "62.5", "Juno Lind": None}
TAGS = {"mira-waves": "Mira Okafor", "dean-rain": "Dean Alvarez", "juno-aurora": "Juno Lind"}
DELTA_COLUMNS = ("period_start", "site", "posts", "currency", "earnings_delta", "opening_earnings", "views_delta")
ASSIGNED = {"youtube_hArB0rWav3s": "Mira Okafor", "youtube_-c1tyRa1n_4": "Dean Alvarez"}


def demo(
    ui: Annotated[
        bool | None, typer.Option("--ui/--no-ui", help="Stay and serve the Dagster UI; default: on a terminal.")
    ] = None,
    port: Port = 3000,
) -> None:
    """Show the whole pipeline on made-up exports, in an installation of its own beside yours.

    Eleven days of five pages, with a day missing, a re-upload, a counter that falls, artists with and without a rate,
    and a corrected file that comes late. Nothing of your own data is touched; running it again changes nothing.
    """
    home = config.load().home / "demo"
    os.environ |= {"CG_HOME": str(home), "CG_DATABASE_URL": "", "CG_DAGSTER_URL": "", "CG_INBOX": ""}
    write_env_file(config.load())
    with console.status("Starting the database …"):
        pipeline = ready()
    _set_up(pipeline)
    _report(pipeline, _import(pipeline))
    console.print(
        f"\nLook further with  CG_HOME={home} cg …  (deltas show, royalties show, csv list, up).", soft_wrap=True
    )
    if ui if ui is not None else sys.stdout.isatty():
        serve(pipeline, port, browser=True)


def _set_up(pipeline: Pipeline) -> None:
    """The channel that its exports do not name, the artists and their rates."""
    page = exports.HARBOR_TV
    with pipeline.warehouse.connect() as connection:
        if connection.execute(query("sites.find"), {"site": page.platform_id}).fetchone():
            return
        channel = sites.add(connection, page.platform, page.platform_id, page.name, None)
        sites.put_setting(connection, channel, "csv_period", "lifetime", pipeline.clock)
        for name, rate in ARTISTS.items():
            artist = artists.add(connection, name, None)
            if rate:
                start = pipeline.settings.history_start
                artists.set_rate(connection, artist, Decimal(rate), start, exports.LAST_DAY, pipeline.clock)
        mira = artists.find(connection, "Mira Okafor")
        artists.set_rate(connection, mira, Decimal(75), date(2026, 4, 3), exports.LAST_DAY, pipeline.clock)
        for tag, name in TAGS.items():
            artists.assign(connection, artists.find(connection, name), pipeline.clock, tag=tag)


def _import(pipeline: Pipeline) -> list[RangeRun]:
    """Day after day through the real jobs, then the assignments by hand, then the corrected file.

    Returns the runs that the correction took.
    """
    with steps(len(exports.days()) + 14) as begin:

        def before_run(planned: RangeRun) -> None:
            begin(str(planned))

        for day in exports.days():
            begin(f"csv {day}")
            _put(pipeline, day, wrong=day == exports.CORRECTED_DAY)
            run.capture_csv(day)
        with pipeline.warehouse.connect() as connection:
            for post_id, name in ASSIGNED.items():
                artists.assign(connection, artists.find(connection, name), pipeline.clock, post_id=post_id)
        run.refresh_stale(pipeline, before_run)
        begin(f"csv {exports.CORRECTED_DAY}, corrected")
        _put(pipeline, exports.CORRECTED_DAY)
        run.capture_csv(exports.CORRECTED_DAY)
        return run.refresh_stale(pipeline, before_run)


def _put(pipeline: Pipeline, day: date, *, wrong: bool = False) -> None:
    """Lay the day's files into the inbox, except those that have been there before: the demo may be run again."""
    with pipeline.warehouse.connect() as connection:
        known = {file.sha256 for file in csv_files.known(connection, day)}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in exports.exports(day, wrong=wrong).items():
            if hashlib.sha256(content).hexdigest() not in known:
                file = Path(folder) / name
                file.write_bytes(content)
                pipeline.inbox.put(file, day, replace=True)


def _report(pipeline: Pipeline, runs: list[RangeRun]) -> None:
    """Deltas and royalties as tables, and what the late correction touched."""
    everything = dict.fromkeys(("first", "last", "site", "artist", "post"))
    with pipeline.warehouse.connect() as connection:
        for period in ("daily", "monthly"):
            values = everything | {"period": period, "limit": 1000}
            rows = connection.execute(query("reports.deltas_by_site"), values).fetchall()
            chosen = [{key: row[key] for key in DELTA_COLUMNS} for row in reversed(rows)]
            show(chosen, as_json=False, title=f"{period.capitalize()} deltas")
        show([vars(total) for total in payee_totals(connection)], as_json=False, title="Royalties")
    if runs:
        windows = ", ".join(
            f"{done.kind} {done.first}" + f" to {done.last}" * (done.first != done.last) for done in runs
        )
        console.print(f"The corrected file of {exports.CORRECTED_DAY} came last and took {len(runs)} runs: {windows}.")
