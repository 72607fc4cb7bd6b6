"""Runs 0005_platform_captures.sql, which lies beside this file."""

from cg_pipeline.warehouse.migrate import run_file_beside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_file_beside(__file__)
