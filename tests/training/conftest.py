"""Two trainings, run once: on a planted log and on the same log shuffled, each in a lake of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from jobs import train
from tests.training import planted

torch.set_num_threads(1)  # a second thread only waits where tests share the machine
TRAIN = ["--as-of", planted.AS_OF.isoformat()]


@pytest.fixture(scope="session")
def planted_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake whose training ran while MLflow was down."""
    home = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTREEL_HOME", str(home))
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens there
        planted.write(planted.log())
        train.main(TRAIN)
    yield home


@pytest.fixture(scope="session")
def shuffled_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("shuffled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTREEL_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        planted.write(planted.log(shuffled=True))
        train.main(TRAIN)
    yield home
