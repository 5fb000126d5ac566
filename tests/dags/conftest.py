"""A real Airflow database in a temporary home, migrated once for all tests of the DAGs."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import with_airflow


@pytest.fixture(scope="package")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Airflow reads its environment when it is first imported, which nothing outside these tests does."""
    assert not any(name == "airflow" or name.startswith("airflow.") for name in sys.modules), (
        "airflow was imported before its test home was set: import it inside tests and fixtures only"
    )
    before = dict(os.environ)
    os.environ["NIGHTREEL_HOME"] = str(tmp_path_factory.mktemp("home"))
    os.environ.update(with_airflow.environment())
    with_airflow.password()
    from airflow.utils.db import initdb

    initdb()
    yield Path(os.environ["AIRFLOW_HOME"])
    os.environ.clear()
    os.environ.update(before)


def parsed() -> dict[str, object]:
    """Every DAG of dags/ by its id, parsed as Airflow parses them."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(with_airflow.ROOT / "dags"))
    assert not bag.import_errors, (
        f"a DAG file doesn't import, so its DAG would vanish from Airflow:\n{bag.import_errors}"
    )
    return dict(bag.dags)


@pytest.fixture(scope="package")
def dags(airflow_home: Path) -> dict[str, object]:
    """The DAGs, to look at."""
    return parsed()


@pytest.fixture
def fresh_dags(airflow_home: Path) -> dict[str, object]:
    """The DAGs, to run: a run leaves the values of its params in the DAG object it was given."""
    return parsed()
