"""`cg demo`: a small made-up world, run through the real jobs in an installation of its own."""

import hashlib
import os
import sys
import tempfile
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from cg_pipeline import config
from cg_pipeline.capture import csv_files, sites
from cg_pipeline.cli import demo_webhooks
from cg_pipeline.cli.context import capture_all, capture_csv, ready, refresh_stale
from cg_pipeline.cli.output import console, show, steps
from cg_pipeline.cli.simulation import Simulation, simulated
from cg_pipeline.cli.up import Port, serve
from cg_pipeline.config import write_env_file
from cg_pipeline.history.stale import RangeRun
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.royalties import artists
from cg_pipeline.royalties.accruals import payee_totals
from cg_pipeline.sandbox import exports
from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline.sandbox.world import World
from cg_pipeline.security.vault import new_key
from cg_pipeline.warehouse.sql import query

ARTISTS = {"Mira Okafor": "70", "Dean Alvarez": "62.5", "Juno Lind": None}
TAGS = {"mira-waves": "Mira Okafor", "dean-rain": "Dean Alvarez", "juno-aurora": "Juno Lind"}
DELTA_COLUMNS = (
    "period_start",
    "site",
    "platform",
    "posts",
    "currency",
    "earnings_delta",
    "opening_earnings",
    "views_delta",
)
ASSIGNED = {"youtube_hArB0rWav3s": "Mira Okafor", "youtube_-c1tyRa1n_4": "Dean Alvarez"}


def demo(
    ui: Annotated[
        bool | None, typer.Option("--ui/--no-ui", help="Stay and serve the Dagster UI; default: on a terminal.")
    ] = None,
    port: Port = 3000,
) -> None:
    """Show the whole pipeline on a made-up world, in an installation of its own beside yours.

    Eleven days of twelve accounts on six simulated platforms and of five pages that come as CSV exports, with a day
    missing, re-uploads, counters that fall, artists with and without a rate, a corrected file that comes late, and on a
    last day a signed webhook event of each platform that becomes a snapshot by itself.
    Nothing of your own data is touched; running it again changes nothing.
    """
    home = config.load().home / "demo"
    for name in [name for name in os.environ if name.startswith("CG_")]:
        del os.environ[name]  # none of your settings counts here
    os.environ["CG_HOME"] = str(home)
    with simulated(Sandbox(World())) as simulation:
        # The addresses stay with the installation: its made-up tokens are never shown to a real platform.
        write_env_file(config.load(), {"CG_ENCRYPTION_KEYS": new_key(), **simulation.addresses})
        with console.status("Starting the database …"):
            pipeline = ready()
        _set_up(pipeline)
        simulation.go_to(exports.FIRST_DAY)
        simulation.connect(pipeline)
        runs = _capture(pipeline, simulation)
        told = demo_webhooks.tell(pipeline, simulation, exports.LAST_DAY + timedelta(days=1))
        refresh_stale(pipeline, lambda _run: None)
        _report(pipeline, runs)
        demo_webhooks.report(told)
        console.print(
            f"\nLook further with  CG_HOME={home} {sys.argv[0]} …  (deltas show, royalties show, csv list, up).",
            soft_wrap=True,
        )
        if ui if ui is not None else sys.stdout.isatty():
            simulation.run_on()
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


def _capture(pipeline: Pipeline, simulation: Simulation) -> list[RangeRun]:
    """Day after day through the real jobs, then the assignments by hand, then the corrected file.

    Returns the runs that the correction took.
    """
    with steps(len(exports.days()) + 14) as begin:

        def before_run(planned: RangeRun) -> None:
            begin(str(planned))

        for day in exports.days():
            begin(f"all sources, {day}")
            simulation.go_to(day)
            _put(pipeline, day, wrong=day == exports.CORRECTED_DAY)
            capture_all(day)
        _assign(pipeline, simulation.sandbox)
        refresh_stale(pipeline, before_run)
        begin(f"csv {exports.CORRECTED_DAY}, corrected")
        _put(pipeline, exports.CORRECTED_DAY)
        capture_csv(exports.CORRECTED_DAY)
        return refresh_stale(pipeline, before_run)


def _assign(pipeline: Pipeline, sandbox: Sandbox) -> None:
    """Posts by hand: those of the exports, and each platform's first account between two artists."""
    chosen = dict(ASSIGNED)
    for platform in ("facebook", "youtube"):
        posts = sandbox.world.posts(sandbox.world.accounts[platform][0], sandbox.now)
        chosen |= {f"{platform}_{post.native_id}": list(ARTISTS)[post.number % 2] for post in posts}
    with pipeline.warehouse.connect() as connection:
        for post_id, name in chosen.items():
            if connection.execute(query("royalties.find_post"), {"post_id": post_id}).fetchone():
                artists.assign(connection, artists.find(connection, name), pipeline.clock, post_id=post_id)


def _put(pipeline: Pipeline, day: date, *, wrong: bool = False) -> None:
    """Lay the day's files into the inbox, except those that have been there before: the demo may be run again."""
    with pipeline.warehouse.connect() as connection:
        known = {file.sha256 for file in csv_files.known(connection, day)}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in exports.exports(day, wrong=wrong).items():
            if hashlib.sha256(content).hexdigest() not in known:
                file = Path(folder) / name
                file.write_bytes(content)
                laid = pipeline.inbox.put(file, day, replace=True)
                if name == exports.YOUTUBE_FILE:
                    _tell_channel(pipeline, day, laid)


def _tell_channel(pipeline: Pipeline, day: date, name: str) -> None:
    """As `cg csv import --site`: the table does not say which channel it is of, and the sandbox has others."""
    with pipeline.warehouse.connect() as connection:
        channel = sites.find(connection, exports.HARBOR_TV.platform_id)
        csv_files.tell(connection, pipeline.inbox, day, [name], channel.id, pipeline.clock.now())


def _report(pipeline: Pipeline, runs: list[RangeRun]) -> None:
    """Deltas and royalties as tables, and what the late correction touched."""
    everything = dict.fromkeys(("first", "last", "site", "artist", "post"))
    with pipeline.warehouse.connect() as connection:
        for period, first, title in (
            ("daily", exports.LAST_DAY, f"Daily deltas of {exports.LAST_DAY}"),
            ("monthly", None, "Monthly deltas"),
        ):
            values = everything | {"period": period, "first": first, "limit": 1000}
            rows = connection.execute(query("reports.deltas_by_site"), values).fetchall()
            show([{key: row[key] for key in DELTA_COLUMNS} for row in reversed(rows)], as_json=False, title=title)
        show([vars(total) for total in payee_totals(connection)], as_json=False, title="Royalties")
    if runs:
        windows = ", ".join(
            f"{done.kind} {done.first}" + f" to {done.last}" * (done.first != done.last) for done in runs
        )
        console.print(f"The corrected file of {exports.CORRECTED_DAY} came last and took {len(runs)} runs: {windows}.")
