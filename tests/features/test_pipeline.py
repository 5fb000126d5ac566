"""The feature tables through real Spark: replay without a future, landing in any portions, any time zone."""

import os
import shutil
import time
from datetime import date
from pathlib import Path

import pytest

from features import frames
from jobs import build, land, simulate
from lake import lineage, snapshot

D = date(2026, 1, 30)
SNAPSHOTS = ("feature_snapshots", "catalogue", "histories", "popularity", "labels", "training_examples")
EVERYTHING = ("events", "tiles", *SNAPSHOTS)


def hashes(as_of: date) -> dict[str, str]:
    return {name: lineage.resolve(name, as_of).content_hash for name in SNAPSHOTS}


def night(home: Path, raw: Path, portions: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Land the days of each portion [first, last] of January in turn, build the night of D, return its hashes."""
    monkeypatch.setenv("NIGHTREEL_HOME", str(home))
    for first, last in portions:
        part = home / f"raw-{first}"
        for file in sorted(raw.glob("*/*.parquet")):
            if first <= int(file.stem[-2:]) <= last and file.stem.startswith("2026-01"):
                (part / file.parent.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, part / file.parent.name)
        land.main([str(part), "--preset", "nightreel"])
    build.main([*EVERYTHING, "--as-of", D.isoformat()])
    return hashes(D)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    before = os.environ.get("NIGHTREEL_HOME")
    os.environ["NIGHTREEL_HOME"] = str(out / "var")
    try:
        simulate.main([str(out / "raw"), "--users", "60", "--videos", "90", "--days", "31", "--seed", "3"])
    finally:
        os.environ.pop("NIGHTREEL_HOME") if before is None else os.environ.update(NIGHTREEL_HOME=before)
    return out / "raw"


@pytest.fixture(scope="module")
def published(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The night of D on a lake that also holds the two days after D - 1, landed in one portion."""
    home = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        return home, night(home, raw, [(1, 31)], patch)


def test_a_night_is_the_same_without_its_future(raw: Path, published: tuple, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    assert night(tmp_path, raw, [(1, 29)], monkeypatch) == published[1]


def test_a_night_is_the_same_in_any_portions_parts_and_time_zone(raw: Path, published: tuple, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "parts_for", lambda rows, session: 7)
    for module in ("events", "tiles", "catalogue"):
        monkeypatch.setattr(f"features.{module}.parts_for", lambda rows, session: 7)
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert night(tmp_path, raw, [(1, 11), (12, 12), (13, 31)], monkeypatch) == published[1]
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_nothing_is_lost_between_landing_and_events(published: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(published[0]))
    for raw_rows, events in zip((lineage.landed(e) for e in lineage.landings("raw_events")),
                                lineage.chunks("events", D), strict=True):
        assert raw_rows.rows == events.rows + events.extra["duplicates"] == events.extra["rows_in"]
        assert events.extra["duplicates"] > 0
    labels, examples = lineage.resolve("labels", D), lineage.resolve("training_examples", D)
    assert labels.rows == examples.rows > 0


def test_building_again_changes_nothing(published: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(published[0]))
    before = {path: path.stat().st_mtime_ns for path in Path(published[0], "lake").rglob("*")}
    build.main([*EVERYTHING, "--as-of", D.isoformat()])
    assert {path: path.stat().st_mtime_ns for path in Path(published[0], "lake").rglob("*")} == before


def test_a_flipped_byte_is_refused_by_every_reader_in_spark_too(published: tuple, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(shutil.copytree(published[0] / "lake", tmp_path / "home/lake")).parent
    shutil.copytree(published[0] / "log", home / "log")
    monkeypatch.setenv("NIGHTREEL_HOME", str(home))
    (path,) = map(Path, snapshot.paths(lineage.chunks("events", D)[0]))
    content = bytearray(path.read_bytes())
    for place in range(64, len(content) - 64, len(content) // 300):
        content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(Exception, match=path.name):
        build.main(["histories", "--as-of", "2026-01-29"])
    assert not list(home.glob("lake/histories/as_of=2026-01-29/*"))


def test_a_night_names_the_day_that_nobody_sealed(published: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(published[0]))
    with pytest.raises(lineage.Missing, match="2026-02-01"):
        build.main(["events", "--as-of", "2026-02-02"])


def test_a_refused_table_leaves_no_manifest(published: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(published[0]))

    def refuse(plan: snapshot.Plan, profile: dict) -> list[dict]:
        raise build.gate.Refused(plan, [])

    monkeypatch.setattr(build.gate, "judge", refuse)
    with pytest.raises(build.gate.Refused):
        build.main(["popularity", "--as-of", "2026-01-29"])
    folder = Path(published[0], "lake", "popularity", "as_of=2026-01-29")
    assert not folder.exists() or not list(folder.iterdir())
