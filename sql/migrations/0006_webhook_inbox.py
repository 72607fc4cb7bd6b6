"""Runs 0006_webhook_inbox.sql, which lies beside this file."""

from cg_pipeline.warehouse.migrate import run_file_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_file_beside(__file__)
