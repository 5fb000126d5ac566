"""The commands: what they print and make, that they do it once, and how they refuse."""

from datetime import date
from pathlib import Path

import pytest

from jobs import ann_index, recommendations
from lake import lineage, numbered_log
from tests.funnel.tables import write_night
from tests.funnel.worlds import AS_OF, random_night, random_users


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    monkeypatch.setenv("SPARK_MASTER", "local[2]")
    return tmp_path


def test_a_night_without_a_model(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    night = random_night(200)
    write_night(night, random_users(night, 50))
    ann_index.main(["--as-of", "2026-02-05"])
    assert capsys.readouterr().out == "ann_index 2026-02-05: model: none, no index\n"
    recommendations.main(["--as-of", "2026-02-05", "--k", "30"])
    manifest = lineage.resolve("recommendations", AS_OF, k=30, active_days=0)
    assert manifest.rows == 50 * 38 and lineage.resolve("fallback", AS_OF, k=30).rows == 2 * 38
    assert manifest.extra == {"users": 50, "short_users": 0, "model": "none", "k": 30, "baseline": "smoothed"}
    assert manifest.checks and all(check["passed"] for check in manifest.checks if check["severity"] == "fail")
    capsys.readouterr()
    recommendations.main(["--as-of", "2026-02-05", "--k", "30"])
    assert capsys.readouterr().out.count("there already") == 2
    assert lineage.resolve("recommendations", AS_OF, k=30, active_days=0).recorded == manifest.recorded


def test_short_lists_are_counted_and_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    night = random_night(40)
    write_night(night, random_users(night, 10))
    recommendations.main(["--as-of", "2026-02-05"])
    assert "10 of 10 users have fewer than 50 videos left to see" in capsys.readouterr().out


def test_the_baseline_is_the_best_judged_one(home: Path) -> None:
    def judged(as_of: str, **metrics: object) -> None:
        numbered_log.append("promotions", lambda _: {"as_of": as_of, "decision": "rejected", "metrics": metrics})

    assert recommendations.best_baseline(AS_OF) == "smoothed"
    judged("2026-01-31", best_baseline="7d")
    judged("2026-02-06", best_baseline="all")
    assert recommendations.best_baseline(AS_OF) == "7d", "the judgement of the 6th is the future"
    assert recommendations.best_baseline(date(2026, 2, 7)) == "all"
    judged("2026-02-06", best_baseline="worst")
    assert recommendations.best_baseline(date(2026, 2, 7)) == "smoothed", "an unknown name is no order"


@pytest.mark.parametrize("arguments", [["--as-of", "2026-02-30"], ["--as-of", "2026-02-05\n"], [], ["--k", "5"],
                                       ["--as-of", "2026-02-05", "--k", "0"], ["--as-of", "2026-02-05", "--k", "1e9"],
                                       ["--as-of", "2026-02-05", "--active-days", "-1"]])
def test_bad_arguments_exit_with_2(home: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        recommendations.main(arguments)
    assert stopped.value.code == 2 and not list(home.iterdir())


def test_a_night_that_is_not_built_names_the_command(home: Path) -> None:
    with pytest.raises(lineage.Missing, match="jobs.build"):
        recommendations.main(["--as-of", "2026-02-05"])
