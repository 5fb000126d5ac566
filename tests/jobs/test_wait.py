"""Waiting for a day: as long as it is missing, no longer, and then its name."""

import threading
import time
from datetime import timedelta

import pytest

from jobs import wait
from lake import lineage
from tests.faults import real

NIGHT = real.FIRST + timedelta(days=3)


@pytest.fixture
def two_days(tmp_path, monkeypatch):
    """A home in which the third of three days is not sealed yet."""
    for name, value in {"NIGHTREEL_HOME": str(tmp_path / "home"), **real.SETTINGS}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(wait, "LOOK_EVERY_S", 0.05)
    real.land_days(tmp_path, [real.FIRST, real.FIRST + timedelta(days=1)])
    return tmp_path


def test_a_day_that_is_sealed_meanwhile_ends_the_wait(two_days, capsys):
    lander = threading.Timer(0.3, real.land_days, [two_days, [NIGHT - timedelta(days=1)]])
    lander.start()
    wait.main(["--as-of", str(NIGHT), "--timeout", "60"])
    lander.join()
    said = capsys.readouterr().out
    assert "2026-01-03 is not sealed yet" in said and "every day up to 2026-01-03 is sealed" in said


@pytest.mark.parametrize("seconds", ["0", "0.3"])
def test_when_time_is_up_the_day_is_named(two_days, seconds):
    started = time.monotonic()
    with pytest.raises(lineage.Missing, match="2026-01-03"):
        wait.main(["--as-of", str(NIGHT), "--timeout", seconds])
    assert float(seconds) <= time.monotonic() - started < 5
