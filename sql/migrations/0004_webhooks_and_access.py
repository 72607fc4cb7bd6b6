"""Runs 0004_webhooks_and_access.sql, which lies beside this file."""

from cg_pipeline.warehouse.migrate import run_file_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_file_beside(__file__)
