"""What late rows would have changed, with planted late rows: how often, by how much, in whose list."""

import os
from datetime import timedelta

import pytest

from jobs import diff
from tests.faults import real
from tests.jobs.landing import event, events, landed, parquet

AS_OF = real.FIRST + timedelta(days=4)


@pytest.fixture
def late(tmp_path, monkeypatch, capsys):
    """Four days without a late row; then two plays of the third day, told on the fifth, and one of the fifth."""
    for name, value in {"NIGHTREEL_HOME": str(tmp_path / "home"), **real.SETTINGS}.items():
        monkeypatch.setenv(name, value)
    assert landed(capsys, parquet(tmp_path / "a.parquet", events(days=4)))[0] == 0
    real.night(AS_OF)
    (told, *_) = [row["arrived_at"] for row in events(days=5)[-1:]]
    rows = [event(user_id=1, video_id=video, event_time=told - timedelta(days=2), arrived_at=told, watch_ms=700)
            for video in (0, 77)]
    rows.append(event(user_id=1, event_time=told, arrived_at=told))
    assert landed(capsys, parquet(tmp_path / "b.parquet", rows))[0] == 0


def test_late_rows_are_counted_per_feature_and_per_list(late, capsys):
    home = sorted(os.listdir(os.environ["NIGHTREEL_HOME"]))
    diff.main(["--as-of", str(AS_OF)])
    said = capsys.readouterr().out
    assert "2 of 18 events from before 2026-01-05 were told after it (11.11%)" in said
    lines = {tuple(line.split()[:2]): line.split()[2:] for line in said.splitlines() if line.startswith("  ")}
    assert lines["user", "play_count_7d"] == ["4", "1", "11.11%", "2"]
    assert lines["user", "watch_ms_sum_7d"] == ["4", "1", "1.72%", "1,400"]
    assert ("user", "play_count_1d") not in lines and ("user", "impression_count_7d") not in lines
    assert lines["video", "play_count_28d"][1] == "2"
    assert "lists differ" in said and sorted(os.listdir(os.environ["NIGHTREEL_HOME"])) == home


def test_without_late_rows_nothing_differs(tmp_path, monkeypatch, capsys):
    for name, value in {"NIGHTREEL_HOME": str(tmp_path / "home"), **real.SETTINGS}.items():
        monkeypatch.setenv(name, value)
    assert landed(capsys, parquet(tmp_path / "a.parquet", events(days=4)))[0] == 0
    real.night(AS_OF)
    capsys.readouterr()
    diff.main(["--as-of", str(AS_OF)])
    said = capsys.readouterr().out
    assert "0 of 16 events" in said and "no feature differs" in said
    assert "diff: 0 of 4 lists differ, on average 100.0% of a list is the same videos" in said
