"""From a royalty to its rates and deltas, and from a delta to its files and requests; the commands and the metadata."""

import json
import shlex
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from cg_pipeline.cli import explain
from cg_pipeline.errors import NotFound
from cg_pipeline.royalties import artists
from cg_pipeline.royalties.accruals import HOUSE, NO_RATE, SUSPENSE
from cg_pipeline.royalties.explain import ALL_SUSPENSE
from cg_pipeline.warehouse.database import Warehouse
from cg_pipeline_tests.integration.histories import DAYS, POSTS, said
from cg_pipeline_tests.integration.installations import Installation
from cg_pipeline_tests.integration.lab import Lab
from cg_pipeline_tests.integration.studio import Studio, small_world, studio
from cg_pipeline_tests.integration.tables import recompute_stale
from cg_pipeline_tests.integration.test_explain import change, of, owed

FIRST, SECOND, ELSEWHERE, THIRD = POSTS[:4]
OLD = "2025-06-01T10:00:00+00:00"
EXPORTED, EXPORT_DAYS = "facebook_550000100000001", (date(2026, 3, 27), date(2026, 3, 28))


# --- royalties


@pytest.fixture
def paid(lab: Lab) -> Lab:
    """Three posts, one by tag, one its re-upload, one nobody's; the rate changes on the third day. Juno has no rate."""
    lab.empty()
    shown = {FIRST: ("sea", 1), SECOND: ("sea", 2), THIRD: ("rain", 3)}
    for number, day in enumerate(DAYS[:4]):
        lab.capture(
            day,
            [
                said(post, lifetime_earnings=Decimal("1.11") * number, asset_tag=tag,
                     publish_time=f"2025-06-0{published}T10:00:00+00:00")
                for post, (tag, published) in shown.items()
            ],
        )  # fmt: skip
    lab.assign("Mira", post=FIRST)
    lab.set_rate("Mira", Decimal(70), date(2024, 1, 1))
    lab.set_rate("Mira", Decimal("33.3333"), DAYS[2])
    lab.recompute()
    return lab


def test_a_months_royalty_is_explained_by_the_rate_of_each_day_to_the_last_decimal(paid: Lab) -> None:
    found = owed(paid, "Mira")
    assert found.checks
    assert [(rate["rate_pct"], rate["effective_from"], rate["until"]) for rate in found.rates] == [
        (70, date(2024, 1, 1), DAYS[1]),
        (Decimal("33.3333"), DAYS[2], None),
    ]
    assert [(each.day, each.rate_pct, each.share) for each in found.earnings if each.post_id == FIRST] == [
        (DAYS[1], 70, Decimal("0.777")),
        (DAYS[2], Decimal("33.3333"), Decimal("0.36999963")),
        (DAYS[3], Decimal("33.3333"), Decimal("0.36999963")),
    ]
    stored = paid.rows(
        "select post_id, rate_pct, earnings, artist_share from royalty_lines where artist_id is not null"
    )
    assert sorted((line.post_id, line.rate_pct, line.earnings, line.share) for line in found.lines) == sorted(
        tuple(row.values()) for row in stored
    )
    (total,) = found.totals
    assert total.lines == total.again == sum(row["artist_share"] for row in stored)
    assert (total.amount, total.unit) == (Decimal("3.03"), Decimal("0.01"))
    assert found.earnings[0].explained_by == f"cg explain delta {FIRST} daily {DAYS[1]}"


def test_why_a_post_is_an_artists_is_told_along_its_way(paid: Lab) -> None:
    paid.capture(DAYS[4], [said(ELSEWHERE, lifetime_earnings=Decimal(1), parent_post_id=SECOND)])
    paid.capture(DAYS[5], [said(ELSEWHERE, lifetime_earnings=Decimal(2))])
    paid.recompute()
    why = {owner.post_id: owner.why for owner in owed(paid, "Mira").owners}
    assert why == {
        FIRST: f"the post {FIRST} is assigned to Mira",
        SECOND: f"inherits from its previous iteration {FIRST}; the post {FIRST} is assigned to Mira",
        ELSEWHERE: f"inherits from its parent {SECOND}; inherits from its previous iteration {FIRST}; "
        f"the post {FIRST} is assigned to Mira",
    }
    paid.assign("Dean", tag="rain")
    paid.recompute()
    (owner,) = owed(paid, "Dean").owners
    assert (owner.artist, owner.why) == ("Dean", f'the tag "rain" of {THIRD} is assigned to Dean')


def test_suspense_is_explained_with_and_without_an_artist(paid: Lab) -> None:
    (total,) = owed(paid, SUSPENSE).totals
    (owner,) = owed(paid, SUSPENSE).owners
    assert (total.lines, total.amount, owner.artist) == (Decimal("3.33"), Decimal("3.33"), None)
    assert owner.why == f'nobody: neither {THIRD} nor a tag of it is assigned (its tag "rain")'
    with pytest.raises(NotFound, match="no royalties in 2026-03"):
        owed(paid, NO_RATE)
    paid.assign("Juno", post=THIRD)
    paid.recompute()
    found = owed(paid, ALL_SUSPENSE)
    assert [(line.artist, line.rate_pct, line.share) for line in found.lines] == [("Juno", None, Decimal("3.33"))]
    assert (found.checks, found.rates) == (True, [])
    assert [line.share for line in owed(paid, "Juno").lines] == [0]


def test_the_house_has_what_is_left(paid: Lab) -> None:
    house, mira = owed(paid, HOUSE), owed(paid, "Mira")
    assert house.checks
    assert house.totals[0].lines + mira.totals[0].lines == Decimal("6.66")
    one = owed(paid, HOUSE, post=FIRST)
    assert ({line.post_id for line in one.lines}, one.totals[0].amount, one.checks) == ({FIRST}, None, True)


def test_a_line_that_was_tampered_with_does_not_check(paid: Lab) -> None:
    change(
        paid,
        "update royalty_lines set artist_share = artist_share + 0.01, house_share = house_share - 0.01 "
        "where post_id = %(post)s and rate_pct = 70",
        post=FIRST,
    )
    found = owed(paid, "Mira")
    assert not found.checks
    assert found.disagreements[0] == (
        f"{FIRST} in USD at 70.0000 %: the line says 1.110000, share 0.787000000000, the deltas say 1.110000, "
        "share 0.7770000000"
    )
    assert not owed(paid, HOUSE).checks


def test_a_line_too_many_and_a_line_too_few_do_not_check(paid: Lab) -> None:
    moved = "update royalty_lines set post_id = %(to)s where post_id = %(post)s and rate_pct = 70"
    change(paid, moved, post=FIRST, to=THIRD)
    first, second = sorted(owed(paid, "Mira").disagreements)
    assert f"{FIRST} in USD at 70.0000 %: there is no line" in first
    assert f"{THIRD} in USD at 70.0000 %: the line says 1.110000" in second
    assert second.endswith("the deltas say nothing")


def test_a_delta_that_changed_since_the_month_was_accrued_waits(paid: Lab) -> None:
    paid.set_rate("Mira", Decimal(50), DAYS[3])
    found = owed(paid, "Mira")
    assert [(each["kind"], each["window_start"]) for each in found.stale] == [("royalty", date(2026, 3, 1))]
    assert not found.checks
    paid.recompute()
    assert owed(paid, "Mira").checks


def test_a_closed_statement_is_shown_and_an_adjustment_is_taken_as_it_is(paid: Lab) -> None:
    with paid.warehouse.connect() as connection:
        connection.execute("""
            with closed as (
                insert into royalty_statements (artist_id, month, currency, earnings, artist_share, payable, closed_at)
                select id, '2026-03-01', 'USD', 6.66, 3.03399852, 3.03, now() from artists where name = 'Mira'
                returning id, artist_id
            ), bound as (
                update royalty_lines l set statement_id = c.id from closed c where l.artist_id = c.artist_id
            )
            insert into royalty_lines (month, kind, post_id, artist_id, currency, rate_pct, earnings, artist_share,
                                       house_share, suspense)
            select '2026-03-01', 'adjustment', 'facebook_100001', artist_id, 'USD', 70, -1, -0.7, -0.3, 0
            from closed""")
    found = owed(paid, "Mira")
    assert [statement["payable"] for statement in found.statements] == [Decimal("3.03")]
    assert {(line.kind, line.closed) for line in found.lines} == {("accrual", True), ("adjustment", False)}
    assert (found.checks, found.totals[0].again) == (True, found.totals[0].lines)
    change(
        paid,
        "update royalty_lines set earnings = 0, artist_share = 0, house_share = 0 "
        "where kind = 'accrual' and post_id = %(post)s and rate_pct = 70",
        post=FIRST,
    )
    assert "it is closed: the difference belongs into an adjustment" in owed(paid, "Mira").disagreements[0]


# --- requests


@pytest.fixture
def house(warehouse: Warehouse, tmp_path: Path) -> Iterator[Studio]:
    with studio(small_world(accounts=1), warehouse, tmp_path) as made:
        yield made


def test_a_captured_post_is_explained_by_the_requests_that_told_it(house: Studio) -> None:
    house.connect_all("threads")
    house.capture("threads")
    house.later(days=1)
    house.capture("threads")
    recompute_stale(house.platforms.warehouse, house.platforms.settings.timezone, house.sandbox.clock)
    native = house.listed(house.account("threads"))[-1].native_id
    found = of(house.platforms.warehouse, f"threads_{native}", house.today)
    assert found.checks
    assert {capture["snapshot_date"] for capture in found.captures} == {house.today - timedelta(days=1), house.today}
    logs = house.rows("select id, reading_id, requests, status::text from sync_logs order by started_at")
    assert [tuple(capture[name] for name in ("sync_log_id", "reading_id", "requests", "status"))
            for capture in found.captures] == [tuple(log.values()) for log in logs]  # fmt: skip
    insights = [answer for answer in found.answers if f"/{native}/insights?metric=views" in answer["request"]]
    assert [(answer["reading_id"], answer["status"]) for answer in insights] == [
        (log["reading_id"], 200) for log in logs
    ]
    assert not [answer for answer in found.answers if answer["request"].startswith("PREMISES")]
    for payload, snapshot in zip(found.payloads, found.snapshots, strict=True):
        assert (payload.day, payload.source) == (snapshot.day, "threads")
        assert "metrics.views" in payload.fields["views"]


def test_what_is_pruned_is_said(house: Studio) -> None:
    house.connect_all("threads")
    house.capture("threads")
    recompute_stale(house.platforms.warehouse, house.platforms.settings.timezone, house.sandbox.clock)
    post = f"threads_{house.listed(house.account('threads'))[0].native_id}"
    house.rows("delete from captured_answers")
    found = of(house.platforms.warehouse, post, house.today)
    assert (found.answers, len(found.captures)) == ([], 1)
    house.rows("delete from sync_logs")
    found = of(house.platforms.warehouse, post, house.today)
    assert found.captures == []
    assert found.snapshots[0].capture.endswith(", whose log is pruned")


# --- the commands, and the metadata that names them


@pytest.fixture
def exported(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Two days of the sandbox's exports, with a post that is Mira's, at 70 percent."""
    monkeypatch.setattr(explain, "ready", lambda: installation.pipeline)
    installation.add_channel()
    pipeline = installation.pipeline
    installation.fill(EXPORT_DAYS[0])
    with pipeline.warehouse.connect() as connection:
        mira = artists.add(connection, "Mira", None)
        artists.set_rate(connection, mira, Decimal(70), date(2024, 1, 1), EXPORT_DAYS[0], pipeline.clock)
        artists.assign(connection, mira, pipeline.clock, post_id=EXPORTED)
    installation.fill(EXPORT_DAYS[1])
    return installation


def cg_explain(*arguments: str) -> str:
    done = CliRunner().invoke(explain.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_delta_command_prints_the_chain_down_to_the_file(exported: Installation) -> None:
    text = " ".join(cg_explain("delta", EXPORTED, "daily", "2026-03-28").split())
    (file,) = exported.rows(
        "select f.name, f.sha256 from csv_files f join sync_logs l on l.csv_file_id = f.id "
        "join snapshots s on s.sync_log_id = l.id where s.post_id = %s and s.snapshot_date = '2026-03-28'",
        EXPORTED,
    )
    _, stored = exported.rows(
        "select * from deltas where post_id = %s and period = 'daily' order by period_start", EXPORTED
    )
    told = [file["name"], "as of 2026-03-28 (loaded)", file["sha256"], "Approximate content monetization earnings",
            f"{stored['views_delta']:,}", f"{stored['earnings_delta']:.2f}", "checks: yes"]  # fmt: skip
    assert [part for part in told if part not in text] == []


def test_the_commands_print_the_same_as_json_with_nothing_rounded(exported: Installation) -> None:
    found = json.loads(cg_explain("delta", EXPORTED, "weekly", "2026-03-24", "--json"))
    (stored,) = exported.rows("select * from deltas where post_id = %s and period = 'weekly'", EXPORTED)
    assert (found["checks"], found["start"], found["row"]["views_delta"]) == (True, "2026-03-23", stored["views_delta"])
    assert found["row"]["earnings_delta"] == f"{stored['earnings_delta']:f}"
    assert {each["metric"]: each["total"] for each in found["sums"]}[
        "earnings_delta"
    ] == f"{stored['earnings_delta']:f}"
    money = json.loads(cg_explain("royalty", "Mira", "2026-03", "--json"))
    lines = exported.rows("select artist_share from royalty_lines where artist_id is not null")
    assert money["checks"]
    assert sorted(Decimal(each["share"]) for each in money["lines"]) == sorted(line["artist_share"] for line in lines)


def test_the_royalty_command_prints_rates_owners_deltas_and_how_to_go_on(exported: Installation) -> None:
    text = cg_explain("royalty", "Mira", "2026-03")
    told = [f"cg explain delta {EXPORTED} daily 2026-03-28", "70.00", f"the post {EXPORTED} is assigned to Mira",
            "No closed statement.", "checks: yes"]  # fmt: skip
    assert [part for part in told if part not in text] == []


def test_the_commands_say_what_does_not_agree_and_what_waits(exported: Installation) -> None:
    exported.do("update deltas set views_delta = 5 where post_id = %s and period_start = '2026-03-28'", EXPORTED)
    exported.do(
        "insert into stale_windows (kind, window_start) values ('daily', '2026-03-28'), ('royalty', '2026-03-01')"
    )
    text = cg_explain("delta", EXPORTED, "daily", "2026-03-28")
    told = ["checks: no", "views_delta is 5, the snapshots say", "stale: daily 2026-03-28, since", "cg deltas refresh"]
    assert [part for part in told if part not in text] == []
    assert "stale: royalty 2026-03-01, since" in cg_explain("royalty", "(suspense)", "2026-03")


def test_a_royalty_is_no_period_of_a_delta() -> None:
    assert CliRunner().invoke(explain.app, ["delta", EXPORTED, "royalty", "2026-03-28"]).exit_code == 2


def test_the_metadata_of_a_materialization_names_a_command_that_explains_it(
    exported: Installation, instance: dg.DagsterInstance
) -> None:
    told = {}
    for job, key in (
        ("deltas_daily", "2026-03-28"),
        ("deltas_weekly", "2026-03-23"),
        ("royalties_accruals", "2026-03-01"),
    ):
        result = exported.execute(job, instance, partition_key=key)
        (event,) = result.get_asset_materialization_events()
        told[job] = str(event.materialization.metadata["explain"].value)
    assert told["royalties_accruals"] in {
        'cg explain royalty "Mira" 2026-03',
        'cg explain royalty "(suspense)" 2026-03',
    }
    for command in told.values():
        assert "checks: yes" in cg_explain(*shlex.split(command)[2:])
