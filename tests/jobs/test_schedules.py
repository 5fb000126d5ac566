"""Any schedule gives the same nights: any order, range, interruption and company; and the plan says what it will do."""

import os
import random
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from jobs import build, explain
from lake import lineage, snapshot
from lake.lineage import Missing
from tests.faults import killing, real

DAYS = 5
NIGHTS = [real.FIRST + timedelta(days=n) for n in range(2, DAYS + 1)]
TABLES = real.NIGHT[2:]


def hashes(as_of: date) -> dict[str, str]:
    return {name: lineage.resolve(name, as_of).content_hash for name in TABLES}


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    """Six landed days, a command each, and every night's hashes, computed one by one."""
    folder, before = tmp_path_factory.mktemp("nightly"), dict(os.environ)
    os.environ.update(NIGHTREEL_HOME=str(folder / "home"), **real.SETTINGS)
    for n in range(DAYS):
        real.land_days(folder, [real.FIRST + timedelta(days=n)])
    shutil.copytree(folder / "home", folder / "fresh")
    for as_of in NIGHTS:
        build.main([*real.NIGHT, "--as-of", str(as_of)])
    yield folder, {as_of: hashes(as_of) for as_of in NIGHTS}
    os.environ.clear()
    os.environ.update(before)


def run_range(first: date, last: date) -> None:
    build.main([*real.NIGHT, "--from", str(first), "--as-of", str(last)])


def schedule(seed: int) -> None:
    """Draw ranges until every night is there: some whole, some killed half-way, some in two processes at once."""
    rng = random.Random(seed)
    while lacking := [as_of for as_of in NIGHTS if not _there(as_of)]:
        first, last = sorted(rng.choices(NIGHTS, k=2))
        how = rng.choice(["whole", "killed", "beside"]) if len(lacking) > 1 else "whole"
        if how == "killed":
            killing.killed_at(rng.randrange(1, 90), lambda: run_range(first, last))
        elif how == "beside":
            one = killing.started(lambda: run_range(first, last))
            run_range(*sorted(rng.choices(NIGHTS, k=2)))
            one.join(killing.PATIENCE_S)
            assert one.exitcode == 0, "a run beside another ended badly"
        else:
            run_range(first, last)


def _there(as_of: date) -> bool:
    try:
        return len(hashes(as_of)) == len(TABLES)
    except Missing:
        return False


@pytest.mark.parametrize("seed", range(*map(int, os.environ.get("NIGHTREEL_SCHEDULES", "2").split())))
def test_any_schedule_gives_the_hashes_of_nights_run_one_by_one(landed, tmp_path, monkeypatch, seed):
    monkeypatch.setenv("NIGHTREEL_HOME", str(shutil.copytree(landed[0] / "fresh", tmp_path / "home")))
    schedule(seed)
    assert {as_of: hashes(as_of) for as_of in NIGHTS} == landed[1]
    run_range(NIGHTS[0], NIGHTS[-1])
    folders = [path for path in Path(tmp_path / "home/lake").glob("*/*/*-*") if path.is_dir()]
    used = {path.parent for name in real.NIGHT for as_of, identity in snapshot.committed(name)
            for path in map(Path, snapshot.paths(snapshot.load(name, as_of, identity)))}
    assert {path for path in folders if path.parts[-3] in real.NIGHT} == used, "an attempt was left behind"


def test_a_run_that_another_one_overtook_in_part_makes_the_rest(landed, tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTREEL_HOME", str(shutil.copytree(landed[0] / "fresh", tmp_path / "home")))
    finish, overtaken = build._finish_range, []

    def overtake(*range_of_nights: object) -> None:
        if not overtaken:
            overtaken.append(True)
            run_range(NIGHTS[1], NIGHTS[1])
        finish(*range_of_nights)

    monkeypatch.setattr(build, "_finish_range", overtake)
    run_range(NIGHTS[0], NIGHTS[-1])
    assert overtaken and {as_of: hashes(as_of) for as_of in NIGHTS} == landed[1]


def test_a_day_landed_into_a_hole_dirties_exactly_the_nights_after_it(tmp_path, monkeypatch, capsys):
    for name, value in {"NIGHTREEL_HOME": str(tmp_path / "home"), **real.SETTINGS}.items():
        monkeypatch.setenv(name, value)
    for n in (0, 1, 2, 4):
        real.land_days(tmp_path, [real.FIRST + timedelta(days=n)])
    before = NIGHTS[:2]
    run_range(*before)
    kept = {as_of: hashes(as_of) for as_of in before}
    capsys.readouterr()
    with pytest.raises(Missing, match="2026-01-04"):
        explain.main(["--as-of", str(NIGHTS[-1]), "--from", str(NIGHTS[0])])
    said = capsys.readouterr().out
    assert "2026-01-05  can't run: 1 days were never sealed: 2026-01-04" in said
    assert "2026-01-03  histories          reuse" in said and "2026-01-06  histories" not in said
    real.land_days(tmp_path, [real.FIRST + timedelta(days=3)])
    steps = {(step.as_of, step.table): step for step in explain.steps(list(real.NIGHT), NIGHTS)}
    for as_of in NIGHTS:
        how = explain.REUSE if as_of in before else explain.COMPUTE
        assert {steps[as_of, name].how for name in TABLES} == {how}, as_of
    assert steps[NIGHTS[-1], "tiles"].why == "events is computed first"
    run_range(NIGHTS[0], NIGHTS[-1])
    assert {as_of: hashes(as_of) for as_of in before} == kept


def test_a_first_day_landed_late_dirties_all(landed, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NIGHTREEL_HOME", str(shutil.copytree(landed[0] / "home", tmp_path / "home")))
    assert {step.how for step in explain.steps(list(real.NIGHT), NIGHTS)} == {explain.REUSE}
    real.land_days(tmp_path, [real.FIRST - timedelta(days=1)])
    found = {(step.as_of, step.table): step for step in explain.steps(list(real.NIGHT), NIGHTS)}
    assert {step.how for step in found.values()} == {explain.COMPUTE}
    assert found[NIGHTS[0], "events"].why == "a landing before it was added or changed"
    assert "made before, from other inputs" in found[NIGHTS[0], "histories"].why
    capsys.readouterr()
    build.main(["histories", "--as-of", str(NIGHTS[0]), "--explain"])
    assert "plan: 0 reused, 1 computed" in capsys.readouterr().out
    run_range(NIGHTS[0], NIGHTS[-1])
    assert {step.how for step in explain.steps(list(real.NIGHT), NIGHTS)} == {explain.REUSE}
