"""The asset checks: invariants of `history.checks`, asked for the windows of a run. Blocking where they guard money."""

from dataclasses import dataclass

import dagster as dg

from cg_pipeline import partitions
from cg_pipeline.defs import csv
from cg_pipeline.defs.reporting import new_features, table
from cg_pipeline.history.checks import ask
from cg_pipeline.history.windows import Kind
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

RULES = [
    Rule(csv.POSTS, Kind.DAILY, "refused_files", "Every file of the day was understood."),
    Rule(csv.SNAPSHOTS, Kind.DAILY, "repeated_keys", "A post has one snapshot a day.", blocking=True),
    Rule(csv.SNAPSHOTS, Kind.DAILY, "quarantined_rows", "Every row of the day's files could be used."),
    Rule(
        csv.SNAPSHOTS, Kind.DAILY, "thin_captures", "No site has fewer posts than 80 % of those in its capture before."
    ),
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
]


def check(rule: Rule) -> dg.AssetChecksDefinition:
    """The asset check of one rule: fails with the rows that break it."""

    @dg.asset_check(
        name=rule.question,
        asset=rule.asset,
        description=rule.description,
        blocking=rule.blocking,
        partitions_def=partitions.OF[rule.kind],
    )
    def invariant(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
        windows = partitions.days(context)
        with pipeline.open().warehouse.connect() as connection:
            finding = ask(connection, rule.question, rule.kind, windows[0], windows[-1])
        return dg.AssetCheckResult(
            passed=finding.holds,
            severity=dg.AssetCheckSeverity.ERROR if rule.blocking else dg.AssetCheckSeverity.WARN,
            metadata={"windows": len(windows), "broken_by": len(finding.rows), "rows": table(finding.rows)},
        )

    return invariant


with new_features():
    checks = [check(rule) for rule in RULES]
