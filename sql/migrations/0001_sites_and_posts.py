"""Runs 0001_sites_and_posts.sql, which lies beside this file."""

from cg_pipeline.warehouse.migrate import run_file_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_file_beside(__file__)
