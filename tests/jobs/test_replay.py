"""A replay tells a night that comes out the same from one that does not, and is not moved by what arrived later."""

from datetime import timedelta

import pytest

from features import windows
from jobs import replay
from lake.refusal import Refusal
from publishing.rollback import block
from tests.faults import real

LAST = real.FIRST + timedelta(days=4)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A released night, and two days that arrived after it, some of their rows told late; a video blocked since."""
    for name, value in {"NIGHTREEL_HOME": str(tmp_path / "home"), **real.SETTINGS}.items():
        monkeypatch.setenv(name, value)
    for n in range(6):
        real.land_days(tmp_path, [real.FIRST + timedelta(days=n)])
        if n == 3:
            real.night(LAST)
            block(3, "rights")
    return tmp_path


def test_what_arrived_or_was_blocked_later_changes_no_replay(published, capsys):
    before = sorted(published.rglob("*"))
    capsys.readouterr()
    replay.main(["--as-of", str(LAST)])
    said = capsys.readouterr().out
    assert "tables recomputed from the landing area, all equal to the release" in said and "differs" not in said
    assert {"events", "feature_snapshots", "histories", "recommendations"} - {
        line.split()[1] for line in said.splitlines() if line.startswith("  equal")} == {"events"}
    assert sorted(published.rglob("*")) == before


def test_another_computation_is_refused_and_named(published, monkeypatch, capsys):
    window_rows = windows.window_rows

    def late_by_a_day(tiles, as_of, *rest):
        return window_rows(tiles, as_of - timedelta(days=1), *rest)

    for module in (windows, replay.scratch.build):
        for name, value in list(vars(module).items()):
            if value is window_rows:
                monkeypatch.setattr(module, name, late_by_a_day)
    with pytest.raises(Refusal, match="does not replay: .*feature_snapshots.* came out otherwise"):
        replay.main(["--as-of", str(LAST)])
    said = capsys.readouterr().out
    assert "differs  feature_snapshots" in said and "equal    histories" in said
