"""Runs 0007_history.sql, which lies beside this file."""

from cg_pipeline.warehouse.migrate import run_file_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_file_beside(__file__)
