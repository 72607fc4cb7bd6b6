"""Runs 0002_snapshots_and_deltas.sql, which lies beside this file."""

from cg_pipeline.warehouse.migrate import run_file_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_file_beside(__file__)
