"""Runs 0003_royalties.sql, which lies beside this file."""

from cg_pipeline.warehouse.migrate import run_file_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_file_beside(__file__)
