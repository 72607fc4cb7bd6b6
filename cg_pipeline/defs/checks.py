"""The asset checks: invariants of `history.checks`, asked for the windows of a run. Blocking where they guard money."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)

from cg_pipeline import partitions
from cg_pipeline.clock import today
from cg_pipeline.config import PLATFORMS
from cg_pipeline.defs import coverage, csv, platforms
from cg_pipeline.defs.reporting import new_features, table
from cg_pipeline.history.checks import Finding, Subject, ask
from cg_pipeline.history.windows import Kind, start_of
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.resources import PipelineResource


@dataclass(frozen=True)
class Rule:
    """One invariant of one asset. `question` names the query in `sql/queries/checks.sql`."""

    asset: dg.AssetKey
    kind: Kind
    question: str
    description: str
    blocking: bool = False


def _deltas(kind: Kind) -> dg.AssetKey:
    return dg.AssetKey(["deltas", kind.value])


ACCRUALS = dg.AssetKey(["royalties", "accruals"])
GAPS = dg.AssetKey(["history", "gaps"])  # `gaps` needs the jobs, and these need the rules


def _of_platform(posts: dg.AssetKey, snapshots: dg.AssetKey) -> list[Rule]:
    return [
        Rule(posts, Kind.DAILY, "ending_tokens", "No connected site's token is dead or about to end."),
        Rule(snapshots, Kind.DAILY, "repeated_keys", "A post has one snapshot a day.", blocking=True),
        Rule(snapshots, Kind.DAILY, "incomplete_sites", "Every connected site was captured completely."),
        Rule(snapshots, Kind.DAILY, "thin_captures", THIN),
    ]


THIN = "No site has fewer posts than 80 % of those in its capture before."

RULES = [
    Rule(csv.POSTS, Kind.DAILY, "refused_files", "Every file of the day was understood."),
    Rule(csv.SNAPSHOTS, Kind.DAILY, "repeated_keys", "A post has one snapshot a day.", blocking=True),
    Rule(csv.SNAPSHOTS, Kind.DAILY, "quarantined_rows", "Every row of the day's files could be used."),
    Rule(csv.SNAPSHOTS, Kind.DAILY, "thin_captures", THIN),
    *(rule for platform in PLATFORMS for rule in _of_platform(*platforms.keys(platform))),
    Rule(
        _deltas(Kind.DAILY),
        Kind.DAILY,
        "telescoping",
        "Deltas and opening balances are the last known value minus the one before, computed from the snapshots anew.",
        blocking=True,
    ),
    *(
        Rule(_deltas(kind), kind, "sums", "Each window is the exact sum of its daily deltas.", blocking=True)
        for kind in (Kind.WEEKLY, Kind.MONTHLY, Kind.QUARTERLY)
    ),
    Rule(
        ACCRUALS, Kind.ROYALTY, "tie_out", "Artists, house and suspense add up to the platforms' money.", blocking=True
    ),
    Rule(
        ACCRUALS, Kind.ROYALTY, "telescoping", "The deltas under the royalties agree with the snapshots.", blocking=True
    ),
    Rule(ACCRUALS, Kind.ROYALTY, "unassigned", "All earnings are credited to an artist with a rate."),
    Rule(coverage.KEY, Kind.DAILY, "missed_webhooks", "Webhooks told of every post that polling found."),
    Rule(GAPS, Kind.DAILY, "missing_days", "Every expected day of every site was captured, or was repaired."),
]


def check(rule: Rule) -> dg.AssetChecksDefinition:
    """The asset check of one rule: fails with the rows that break it.

    It has a result for each window of the run. A run about no windows, as the button "Execute all" starts it, has one
    result for the whole history.
    """

    @dg.asset_check(
        name=rule.question,
        asset=rule.asset,
        description=rule.description,
        blocking=rule.blocking,
        partitions_def=partitions.OF[rule.kind],
    )
    def invariant(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> Any:  # Dagster types only one
        opened = pipeline.open()
        platform = rule.asset.path[0] if rule.asset.path[0] in PLATFORMS else None
        subject = Subject(opened.settings.timezone, opened.clock.now(), platform)
        windows = _asked(context, rule, opened)
        targets = _targets(context.instance, rule.asset, [asked.partition for asked in windows])
        with opened.warehouse.connect() as connection:
            for asked, target in zip(windows, targets, strict=True):
                finding = ask(connection, rule.question, rule.kind, asked.first, asked.last, subject)
                yield _evaluation(rule, asked, finding, target)
        yield dg.Output(None)

    return invariant


@dataclass(frozen=True)
class Asked:
    """The windows that one result is about. `partition` is None for the whole history."""

    partition: str | None
    first: date
    last: date


def _asked(context: dg.AssetCheckExecutionContext, rule: Rule, opened: Pipeline) -> list[Asked]:
    if context.has_partition_key or context.has_partition_key_range:
        return [Asked(day.isoformat(), day, day) for day in partitions.days(context)]
    open_window = start_of(rule.kind, today(opened.clock, opened.settings.timezone))
    return [Asked(None, opened.settings.history_start, open_window)]


def _evaluation(rule: Rule, asked: Asked, finding: Finding, target: Target | None) -> dg.AssetCheckEvaluation:
    """What Dagster makes of an AssetCheckResult in a run about one window; about several, it cannot."""
    return dg.AssetCheckEvaluation(
        asset_key=rule.asset,
        check_name=rule.question,
        partition=asked.partition,
        passed=finding.holds,
        severity=dg.AssetCheckSeverity.ERROR if rule.blocking else dg.AssetCheckSeverity.WARN,
        blocking=rule.blocking,
        metadata={
            "windows": f"{asked.first} to {asked.last}",
            "broken_by": len(finding.rows),
            "rows": table(finding.rows),
        },
        target_materialization_data=target,
    )


def _targets(instance: dg.DagsterInstance, asset: dg.AssetKey, windows: Sequence[str | None]) -> list[Target | None]:
    """The materialization that was checked, per window: without it the UI takes its result for one of the past.

    As many as there are windows, newest first, are those of the windows themselves where one run has made them all;
    which is read at once, as a lookup takes as long as the check.
    """
    newest: dict[str | None, Target] = {}
    if len(windows) > 1:
        newest = dict(reversed(_materialized(instance, asset, windows, len(windows))))
    return [newest.get(key) or _only(_materialized(instance, asset, [key], 1)) for key in windows]


def _materialized(
    instance: dg.DagsterInstance, asset: dg.AssetKey, windows: Sequence[str | None], most: int
) -> list[tuple[str | None, Target]]:
    """The newest of these windows, by window."""
    keys = [key for key in windows if key is not None]
    found = instance.fetch_materializations(dg.AssetRecordsFilter(asset, asset_partitions=keys or None), limit=most)
    return [
        (each.partition_key, Target(storage_id=each.storage_id, run_id=each.run_id, timestamp=each.timestamp))
        for each in found.records
    ]


def _only(found: Sequence[tuple[str | None, Target]]) -> Target | None:
    return found[0][1] if found else None


with new_features():
    checks = [check(rule) for rule in RULES]
