"""What integration tests share beyond the databases of the conftest above."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import URL

from cg_pipeline.clock import FixedClock
from cg_pipeline.config import PLATFORMS, PROJECT
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.world import World
from cg_pipeline.security.vault import new_key
from cg_pipeline.warehouse.database import Warehouse, ensure_database
from cg_pipeline_tests.integration.installations import Installation, drop_database, environment, installed
from cg_pipeline_tests.integration.lab import Lab, OneConnection
from cg_pipeline_tests.integration.studio import connect


@pytest.fixture
def lab(warehouse: Warehouse, clock: FixedClock) -> Iterator[Lab]:
    """An empty warehouse that captures, recomputes, and is compared with the reference."""
    kept = OneConnection(warehouse)
    yield Lab(kept, clock)
    kept.close()


@pytest.fixture(scope="session")
def dagster_template(server_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a database with Dagster's schema and without connections, for others to be copied from."""
    url = server_url.set(database=f"cg_test_{os.getpid()}_dagster_template")
    home = tmp_path_factory.mktemp("dagster_template")
    try:
        ensure_database(url)
        shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
        address = url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
        with environment(DAGSTER_HOME=str(home), CG_DAGSTER_URL=address), dg.DagsterInstance.get():
            pass
        yield str(url.database)
    finally:
        drop_database(url)


@pytest.fixture
def installation(warehouse: Warehouse, dagster_template: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation without data: its home is `tmp_path / "home"`."""
    with installed(warehouse, dagster_template, tmp_path / "home") as installation:
        yield installation


@pytest.fixture
def instance(installation: Installation) -> Iterator[dg.DagsterInstance]:
    """Dagster's record of the installation."""
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.fixture
def sandbox(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A small sandbox that lives now, and the installation that takes it for the platforms, all accounts connected."""
    monkeypatch.setattr("cg_pipeline.platforms.http.time.sleep", lambda _seconds: None)
    sandbox = Sandbox(World(accounts_each=2, posts_each=3, hours_between=24), installation.pipeline.clock.now())
    with serving(sandbox) as address:
        urls = {f"CG_{name.upper()}_API_URL": f"{address}/{name}" for name in PLATFORMS}
        with environment(CG_ENCRYPTION_KEYS=new_key(), **urls):
            for name in PLATFORMS:
                for account in sandbox.world.accounts[name]:
                    connect(sandbox, Pipeline.open().platforms, account)
            yield sandbox
