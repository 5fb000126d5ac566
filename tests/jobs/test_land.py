"""Landing: what is sealed, what is refused, and that a refusal changes nothing."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from jobs import land
from lake import conversion, landing, lineage, numbered_log, snapshot, sources, storage, writing
from lake.columns import EVENT, USER, VIDEO
from lake.lineage import Missing
from tests.jobs.landing import at, event, events, files_under, landed, parquet, rows_of
from validation import gate


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty lake; the gate, seconds per snapshot, is left to the one test that is about it."""
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(gate, "judge", lambda plan, profile: [])
    return tmp_path / "home"


def test_the_help_names_every_column_and_what_is_needed(capsys):
    with pytest.raises(SystemExit):
        land.main(["--help"])
    said = capsys.readouterr().out.splitlines()
    for columns in (EVENT, VIDEO, USER):
        for column in columns:
            needed = not column.nullable and column.name != "event_id"
            assert any(line.startswith("  * " if needed else "    ") and line[4:].split()[:1] == [column.name]
                       and line.endswith(column.doc) for line in said), column.name


def test_days_are_sealed_from_the_first_arrival_to_the_last(home, tmp_path, capsys):
    code, said = landed(capsys, parquet(tmp_path / "log/a.parquet", events(days=3)))
    assert code == 0 and "12 rows read, 12 landed, sealed 2026-01-01 … 2026-01-03" in said
    (entry,) = lineage.landings("raw_events")
    assert (entry["start"], entry["end"], entry["rows_in"], entry["rows"]) == ("2026-01-01", "2026-01-04", 12, 12)
    assert entry["arrival"] == "log" and entry["quarantined"] == {}
    assert entry["lacks"][:4] == ["impression", "like", "share", "not_interested"]
    assert entry["sources"][0]["name"] == "a.parquet" and len(entry["sources"][0]["sha256"]) == 64
    assert snapshot.load("raw_events", date(2026, 1, 4), entry["identity"]).extra["arrivals"] == {
        "2026-01-01": 4, "2026-01-02": 4, "2026-01-03": 4}
    lineage.require_sealed(date(2026, 1, 4))
    with pytest.raises(Missing, match="2026-01-04"):
        lineage.require_sealed(date(2026, 1, 5))


def test_the_gate_judges_a_landing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "home"))
    assert landed(capsys, parquet(tmp_path / "a.parquet", events()))[0] == 0
    (entry,) = lineage.landings("raw_events")
    checks = lineage.landed(entry).checks
    assert checks and all(check["passed"] for check in checks if check["severity"] == "fail")


def test_a_refusal_of_the_gate_leaves_nothing(home, tmp_path, monkeypatch, capsys):
    def refuse(plan, profile):
        raise gate.Refused(plan, [{"check": "rows", "observed": 1, "bound": [2, None], "severity": "fail",
                                        "passed": False, "why": "because"}])

    monkeypatch.setattr(gate, "judge", refuse)
    code, said = landed(capsys, parquet(tmp_path / "a.parquet", events()))
    assert code == 3 and "because" in said
    assert files_under(home) == {}


def test_an_odd_day_is_refused_until_a_person_accepts_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "home"))
    landed(capsys, parquet(tmp_path / "a.parquet", events(days=1, per_day=2_500)))
    small = parquet(tmp_path / "b.parquet", [event(arrived_at=at("2026-01-02 10:00:00"))])
    code, said = landed(capsys, small)
    assert code == 3 and "rows_to_median" in said and "--accept rows_to_median" in said
    assert len(numbered_log.entries("landing")) == 1
    assert landed(capsys, small, "--accept", "rows_to_median")[0] == 0
    odd = [check for check in lineage.landed(lineage.landings("raw_events")[1]).checks if not check["passed"]]
    assert [(check["check"], check["severity"]) for check in odd] == [("rows_to_median", "warn")]
    (tmp_path / "empty").mkdir()
    assert landed(capsys, tmp_path / "empty", "--seal-through", "2026-01-03")[0] == 0


def test_the_same_files_again_change_nothing(home, tmp_path, capsys):
    log = parquet(tmp_path / "log/a.parquet", events())
    assert landed(capsys, log)[0] == 0
    before = files_under(home)
    code, said = landed(capsys, log.rename(tmp_path / "renamed.parquet"))
    assert code == 0 and "already landed as entry 1" in said and files_under(home) == before


@pytest.mark.parametrize("arrange", [lambda rows: rows[::-1], lambda rows: rows[3:] + rows[:3]])
def test_order_and_number_of_files_do_not_matter(home, tmp_path, monkeypatch, capsys, arrange):
    rows = events(days=3, per_day=8)
    landed(capsys, parquet(tmp_path / "one/a.parquet", rows))
    one = lineage.landings("raw_events")[0]["content_hash"]
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "other"))
    shuffled = arrange(rows)
    parquet(tmp_path / "two/b.parquet", shuffled[:5])
    parquet(tmp_path / "two/sub/a.parquet", shuffled[5:])
    assert landed(capsys, tmp_path / "two")[0] == 0
    assert lineage.landings("raw_events")[0]["content_hash"] == one


def test_more_rows_than_fit_in_memory_give_the_same_bytes(home, tmp_path, monkeypatch, capsys):
    rows = [event(user_id=n, event_time=at("2026-01-01 10:00:00")) for n in range(500)]
    log = parquet(tmp_path / "a.parquet", rows)
    landed(capsys, log)
    whole = lineage.landings("raw_events")[0]["content_hash"]
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "other"))
    monkeypatch.setattr(conversion.Scatter, "__init__", _small(conversion.Scatter.__init__))
    monkeypatch.setattr(sources, "BATCH_ROWS", 60)
    landed(capsys, log)
    (entry,) = lineage.landings("raw_events")
    assert entry["content_hash"] == whole
    assert len(lineage.landed(entry).files) > 3


def _small(init):
    return lambda self, declared, limit=0, **rest: init(self, declared, 100, **rest)


def test_rows_of_a_sealed_day_are_refused_and_name_it(home, tmp_path, capsys):
    landed(capsys, parquet(tmp_path / "a.parquet", events(days=2)))
    before = files_under(home)
    late = parquet(tmp_path / "b.parquet", [event(arrived_at=at("2026-01-02 23:00:00")),
                                            event(arrived_at=at("2026-01-03 01:00:00"))])
    code, said = landed(capsys, late)
    assert code == 3 and "2026-01-02 is sealed already" in said and "--as-arrived 2026-01-03" in said
    assert files_under(home) == before


def test_late_rows_land_on_an_open_day_in_their_order(home, tmp_path, capsys):
    landed(capsys, parquet(tmp_path / "a.parquet", events(days=2)))
    late = parquet(tmp_path / "b.parquet", [
        event(event_id=5, watch_ms=1, arrived_at=at("2026-01-02 23:00:00")),
        event(event_id=5, watch_ms=2, arrived_at=at("2026-01-01 22:00:00")),
        event(event_id=6, watch_ms=3, arrived_at=at("2026-01-03 04:00:00"))], event_id=pa.int64())
    assert landed(capsys, late, "--as-arrived", "2026-01-03")[0] == 0
    entry = lineage.landings("raw_events")[1]
    assert (entry["start"], entry["end"]) == ("2026-01-03", "2026-01-04")
    arrived = {row["watch_ms"]: row["arrived_at"] for row in snapshot.read(lineage.landed(entry)).to_pylist()}
    assert arrived == {2: at("2026-01-03 00:00:00"), 1: at("2026-01-03 00:00:00.000001"), 3: at("2026-01-03 04:00:00")}


@pytest.mark.parametrize(("day", "why"), [("2026-01-02", "not later"), ("2026-01-05", "sealed already")])
def test_late_rows_need_a_later_open_day(home, tmp_path, capsys, day, why):
    landed(capsys, parquet(tmp_path / "a.parquet", events(days=3)))
    landed(capsys, parquet(tmp_path / "c.parquet", [event(arrived_at=at("2026-01-05 10:00:00"))]))
    before = files_under(home)
    code, said = landed(capsys, parquet(tmp_path / "b.parquet", [event(arrived_at=at("2026-01-02 23:00:00"))]),
                        "--as-arrived", day)
    assert code == 3 and why in said and files_under(home) == before


def test_a_day_without_rows_is_sealed_on_request_only(home, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    code, said = landed(capsys, tmp_path / "empty")
    assert code == 3 and "--seal-through" in said
    landed(capsys, parquet(tmp_path / "a.parquet", events(days=2)))
    code, said = landed(capsys, tmp_path / "empty", "--seal-through", "2026-01-04")
    assert code == 0 and "0 landed, sealed 2026-01-03 … 2026-01-04" in said
    lineage.require_sealed(date(2026, 1, 5))
    assert landed(capsys, tmp_path / "empty", "--seal-through", "2026-01-04")[0] == 0
    assert len(numbered_log.entries("landing")) == 2
    assert landed(capsys, tmp_path / "empty", "--seal-through", "2026-01-02")[0] == 3


def test_seal_through_extends_and_never_cuts(home, tmp_path, capsys):
    log = parquet(tmp_path / "a.parquet", events(days=2))
    assert landed(capsys, log, "--seal-through", "2026-01-01")[0] == 3
    assert landed(capsys, log, "--seal-through", "2026-01-05")[0] == 0
    assert lineage.landings("raw_events")[0]["end"] == "2026-01-06"


def test_a_hole_is_named_and_can_be_filled(home, tmp_path, capsys):
    landed(capsys, parquet(tmp_path / "a.parquet", events(days=1)))
    landed(capsys, parquet(tmp_path / "b.parquet", [event(arrived_at=at("2026-01-04 10:00:00"))]))
    assert lineage.missing_days(date(2026, 1, 5)) == [date(2026, 1, 2), date(2026, 1, 3)]
    (tmp_path / "empty").mkdir()
    assert landed(capsys, tmp_path / "empty", "--seal-through", "2026-01-03")[0] == 0
    assert lineage.missing_days(date(2026, 1, 5)) == []


def test_two_landings_at_once_cannot_seal_one_day(home, tmp_path, monkeypatch, capsys):
    """The other command commits between our last look and our entry."""
    first, second = parquet(tmp_path / "a.parquet", events()), parquet(tmp_path / "b.parquet", events(per_day=5))
    commit, raced = landing.commit, []

    def late(entry):
        if not raced:
            raced.append(1)
            assert landed(capsys, second)[0] == 0
        return commit(entry)

    monkeypatch.setattr(landing, "commit", late)
    code, said = landed(capsys, first)
    assert code == 3 and "sealed already" in said
    assert len(lineage.landings("raw_events")) == 1


def test_the_same_landing_twice_at_once_is_one(home, tmp_path, monkeypatch, capsys):
    log = parquet(tmp_path / "a.parquet", [*events(), event(user_id=None)])
    commit, raced = landing.commit, []

    def late(entry):
        if not raced:
            raced.append(1)
            assert landed(capsys, log)[0] == 0
        return commit(entry)

    monkeypatch.setattr(landing, "commit", late)
    code, said = landed(capsys, log)
    assert code == 0 and "already landed" in said and len(numbered_log.entries("landing")) == 1
    assert len(rows_of("raw_events")) == 12


def test_a_landing_that_died_before_its_entry_is_repeated_whole(home, tmp_path, monkeypatch, capsys):
    log = parquet(tmp_path / "a.parquet", [*events(), event(user_id=None)])
    with monkeypatch.context() as patch:
        patch.setattr(landing, "commit", lambda entry: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            landed(capsys, log)
    assert lineage.landings("raw_events") == [] and files_under(home)
    assert landed(capsys, log)[0] == 0
    (entry,) = lineage.landings("raw_events")
    assert entry["rows"] == 12 and entry["quarantined"] == {"null_user": 1}


def test_a_failed_write_leaves_nothing(home, tmp_path, monkeypatch, capsys):
    log = parquet(tmp_path / "log/a.parquet", [*events(), event(user_id=None)])
    write = writing.write_part

    def full(name, *rest):
        if name == "quarantine":
            raise OSError(28, "No space left on device")
        return write(name, *rest)

    monkeypatch.setattr(writing, "write_part", full)
    with pytest.raises(OSError, match="No space"):
        landed(capsys, log)
    assert files_under(home) == {}
    monkeypatch.setattr(writing, "write_part", write)
    assert landed(capsys, log)[0] == 0


def test_a_log_without_arrivals_says_what_to_add(home, tmp_path, capsys):
    rows = [{key: value for key, value in row.items() if key != "arrived_at"} for row in events()]
    log = parquet(tmp_path / "a.parquet", rows)
    code, said = landed(capsys, log)
    assert code == 3 and "--arrived-at=event_time" in said and "a.parquet" in said
    assert landed(capsys, log, "--arrived-at=event_time")[0] == 0
    (entry,) = lineage.landings("raw_events")
    assert entry["arrival"] == "assumed"
    assert all(row["arrived_at"] == row["event_time"] for row in rows_of("raw_events"))


def test_a_catalogue_beside_its_events(home, tmp_path, capsys):
    log = parquet(tmp_path / "e.parquet", events(days=2, per_day=4))
    videos = parquet(tmp_path / "v.parquet", [
        {"video_id": n, "title": f"film {n}", "categories": ["a", "b"]} for n in (0, 1, 7)])
    users = parquet(tmp_path / "u.parquet", [{"user_id": 1, "country": "DE", "arrived_at": at("2025-12-24 08:00:00")}])
    assert landed(capsys, log, "--videos", videos, "--users", users)[0] == 0
    arrived = {row["video_id"]: row["arrived_at"] for row in rows_of("raw_videos")}
    assert arrived == {0: at("2026-01-01 10:01:00"), 1: at("2026-01-01 10:01:01"), 7: at("2026-01-02 00:00:00")}
    assert lineage.landings("raw_users")[0]["start"] == "2025-12-24"
    assert {entry["number"] for name in ("raw_events", "raw_videos", "raw_users")
            for entry in lineage.landings(name)} == {1}


def test_a_later_catalogue_says_when_it_arrived(home, tmp_path, capsys):
    videos = parquet(tmp_path / "v.parquet", [{"video_id": 1, "title": "new"}])
    code, said = landed(capsys, "--table", "videos", videos)
    assert code == 3 and "--as-arrived DAY" in said
    assert landed(capsys, "--table", "videos", videos, "--as-arrived", "2026-01-09")[0] == 0
    assert rows_of("raw_videos")[0]["arrived_at"] == at("2026-01-09 00:00:00")


def test_dimension_rows_are_unique_per_arrival(home, tmp_path, capsys):
    when = at("2026-01-01 10:00:00")
    rows = [{"video_id": 1, "title": title, "categories": ["x"], "arrived_at": when} for title in ("b", "a", "b", "b")]
    rows += [{"video_id": 1, "title": "b", "categories": ["x"], "arrived_at": at("2026-01-01 11:00:00")}]
    for n, order in enumerate((rows, rows[::-1])):
        code, said = landed(capsys, "--table", "videos", parquet(tmp_path / f"{n}.parquet", order))
        if n == 0:
            assert code == 0 and "3 duplicates (1 conflicting)" in said
    (entry,) = lineage.landings("raw_videos")
    assert entry["rows_in"] == entry["rows"] + entry["duplicates"] == 5
    assert [(row["title"], row["arrived_at"].hour) for row in rows_of("raw_videos")] == [("a", 10), ("b", 11)]


@pytest.mark.parametrize("argv", [
    ["--as-arrived", "2026-13-01"], ["--as-arrived", "2026-01-01\n"], ["--seal-through", "$(touch hacked)"],
    ["--seal-through", "9" * 10_000], ["--max-bad-share", "nan"], ["--max-bad-share", "-1"], ["--map", "nonsense"],
    ["--map", "users_id=a"], ["--map", "films.title=a"], ["--table", "films"], ["--preset", "../../etc"],
    ["--event-type", "watch"], ["--event-type", "play", "like=heart"], ["--arrived-at", "now"], ["--nonsense"],
    ["--preset", "movielens", "--map", "user_id=a"], ["--seal", "2026-01-01"], ["--accept", "arrived_at.max"],
    ["--table", "videos", "--users", "x"]])
def test_hostile_arguments_touch_nothing(home, tmp_path, capsys, argv):
    log = parquet(tmp_path / "a.parquet", events())
    code, said = landed(capsys, log, *argv)
    assert code == 2 and "error" in said
    assert not home.exists() and sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet"]


@pytest.mark.parametrize("path", ["nowhere", "a\0b", "a\nb", "x" * 10_000, "$(touch hacked)", "a/../../nowhere"])
@pytest.mark.parametrize("preset", [None, "movielens", "kuairand", "nightreel"])
def test_paths_without_a_log_are_bad_arguments(home, tmp_path, monkeypatch, capsys, path, preset):
    monkeypatch.chdir(tmp_path)
    code, said = landed(capsys, path, *(["--preset", preset] if preset else []))
    assert code == 2 and "error" in said and not home.exists()


def test_it_runs_as_a_command(tmp_path):
    """What a person types, in a process of its own, with a time zone that is not UTC."""
    log = parquet(tmp_path / "log/a.parquet", events())
    said = {"NIGHTREEL_HOME": str(tmp_path / "home"), "TZ": "Asia/Kolkata", "PATH": "/usr/bin:/bin"}
    found = subprocess.run([sys.executable, "-m", "jobs.land", str(log)], capture_output=True, text=True, check=False,
                           cwd=Path(land.__file__).parents[1], env=said)
    assert found.returncode == 0, found.stderr
    assert "sealed 2026-01-01 … 2026-01-03" in found.stdout


def test_a_folder_of_other_files_is_no_empty_day(home, tmp_path, capsys):
    (tmp_path / "log").mkdir()
    (tmp_path / "log/events.ndjson").write_text("{}")
    code, said = landed(capsys, tmp_path / "log", "--seal-through", "2026-01-01")
    assert code == 3 and "events.ndjson" in said and not home.exists()


def test_columns_that_come_and_go_are_noticed(home, tmp_path, capsys):
    landed(capsys, parquet(tmp_path / "a.parquet", events(days=1)))
    renamed = [{("watched" if key == "watch_ms" else key): value for key, value in row.items()}
               for row in [event(arrived_at=at("2026-01-02 10:00:00"))]]
    log = parquet(tmp_path / "b.parquet", renamed, watched=pa.int64())
    code, said = landed(capsys, log)
    assert code == 3 and "'watch_ms'" in said and "b.parquet" in said and "watched" in said
    code, said = landed(capsys, log, "--without", "watch_ms")
    assert code == 3 and "'watched' is new" in said
    assert landed(capsys, log, "--map", "watch_ms=watched")[0] == 0
    assert rows_of("raw_events")[-1]["watch_ms"] == 5_000


class Killed(BaseException):
    """What kill -9 looks like from inside: nothing is cleaned up."""


def test_killed_at_any_write_it_is_landed_whole_the_next_time(home, tmp_path, monkeypatch, capsys):
    log = parquet(tmp_path / "log/a.parquet", [*({**row, "user_id": str(row["user_id"])} for row in events()),
                                               event(user_id=None)], user_id=pa.string())
    videos = parquet(tmp_path / "v.parquet", [{"video_id": 1, "title": "one"}])
    monkeypatch.setattr(writing, "abandon", lambda attempt: None)
    whole = None
    for last in range(1, 100):
        monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / f"home{last}"))
        with monkeypatch.context() as patch:
            _die_at(patch, last)
            try:
                assert landed(capsys, log, "--videos", videos)[0] == 0
                break
            except Killed:
                assert lineage.landings("raw_events") == lineage.landings("raw_videos") == []
        code, said = landed(capsys, log, "--videos", videos)
        assert code == 0, said
        (entry,) = numbered_log.entries("landing")
        hashes = {told["table"]: told["content_hash"] for told in entry["tables"]}
        whole = whole or hashes
        assert hashes == whole and set(whole) == {"raw_events", "raw_videos", "ids", "quarantine"}
        kept = {Path(path).name for told in entry["tables"] for path in snapshot.paths(lineage.landed(told))}
        found = [name for name in files_under(tmp_path / f"home{last}") if name.endswith(".parquet")]
        assert len(found) == len(entry["tables"]) and {Path(name).name for name in found} == kept
    assert last == 10  # four files, four manifests, one entry


def _die_at(patch: pytest.MonkeyPatch, last: int) -> None:
    """Killed just before the n-th file would come into being."""
    count = iter(range(1, 100))

    def counted(function):
        def call(*args):
            if next(count) == last:
                raise Killed
            return function(*args)
        return call

    patch.setattr(storage, "write_bytes", counted(storage.write_bytes))
    patch.setattr(storage, "create_if_absent", counted(storage.create_if_absent))


def test_two_processes_seal_a_day_once(tmp_path):
    """Two people land different files of the same days at the same moment."""
    said = {"NIGHTREEL_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    logs = [parquet(tmp_path / f"{n}.parquet", events(per_day=4 + n)) for n in range(2)]
    root = Path(land.__file__).parents[1]
    runs = [subprocess.Popen([sys.executable, "-m", "jobs.land", str(log)], env=said, cwd=root, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for log in logs]
    errors = [run.communicate(timeout=300)[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 3], errors
    assert any("sealed already" in error for error in errors)
    assert len(list((tmp_path / "home/log/landing").iterdir())) == 1
