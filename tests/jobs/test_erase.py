"""Erasing a user from a real home: nothing of the user is left in any file, decoded; all others stay; nights go on."""

import json
import os
import shutil
import sqlite3
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs import erase, replay, report, rollback
from jobs.erase_files import Traces, found_in
from lake import lineage, numbered_log, snapshot
from lake.refusal import Refusal
from publishing.live import load_release
from publishing.release import publish
from tests.faults import killing, real

LAST = date(2026, 1, 7)


@pytest.fixture(scope="module")
def made(request, tmp_path_factory):
    """A home as a service would have it, with integer ids or with strings, with logs, pages and databases."""
    before, text = dict(os.environ), getattr(request, "param", "integer") == "text"
    folder = tmp_path_factory.mktemp("erase")
    home = real.home(folder, text=text)
    who = "viewer-000003-of-the-log" if text else "3"
    plant(home, who)
    if text:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        report.main(["--as-of", str(LAST)])
    yield home, who
    os.environ.clear()
    os.environ.update(before)


def plant(home: Path, who: str) -> None:
    """What services leave around: a log, a page, a value, a row in a database."""
    (home / "airflow/logs").mkdir(parents=True)
    (home / "airflow/logs/attempt=1.log").write_text(f"3 tasks, 33 users\nshow --user {who}\n")
    (home / "reports").mkdir()
    (home / "reports/night.html").write_text(f"<h3>user {who}, JP: 3 plays</h3>")
    (home / "cache.json").write_text(json.dumps({"user_id": who, "video_id": 3, "users": 3}))
    with sqlite3.connect(home / "some.db") as database:
        database.execute("create table told (what text, number integer)")
        database.executemany("insert into told values (?, 3)", [(f"user {who}",), ("3 users",)])


BOTH = pytest.mark.parametrize("made", ["text", "integer"], indirect=True)


@pytest.fixture
def there(made, tmp_path, monkeypatch):
    home = shutil.copytree(made[0], tmp_path / "home")
    monkeypatch.setenv("NIGHTREEL_HOME", str(home))
    for name, value in real.SETTINGS.items():
        monkeypatch.setenv(name, value)
    return home, made[1]


def others(who: int) -> dict[str, list]:
    """What the live release says of everybody else."""
    loaded = load_release()
    return {name: [row for row in loaded.table(name).to_pylist() if row["user_id"] != who]
            for name in ("histories", "recommendations")} | {
        "features": [row for row in loaded.table("feature_snapshots").to_pylist()
                     if not (row["view"].startswith("user") and row["entity_id"] == who)],
        "popularity": loaded.table("popularity").to_pylist(), "fallback": loaded.fallback.to_pylist()}


@BOTH
def test_nothing_is_left_and_all_others_stay(there, capsys):
    home, who = there
    whom = erase._person(who)
    before, releases = others(whom.user_id), numbered_log.numbers("releases")
    assert load_release().recommendations(whom.user_id).num_rows
    assert sum(bool(what) for _, what in erase.scan(Traces(whom), str(home))) > 12
    erase.main(["--user", who])
    said = capsys.readouterr().out
    assert "nothing of the user is left" in said and "release 3 is live" in said
    assert others(whom.user_id) == before, "everybody else's features and lists, and the shared aggregates, stay"
    assert not load_release().recommendations(whom.user_id).num_rows
    for number in releases:
        load_release(number)
    assert load_release().release.counts["users"] == 11
    assert not [path for path in home.rglob("*") if path.is_file() and who.encode() in path.read_bytes()
                and len(who) > 8]
    assert "33 users" in (home / "airflow/logs/attempt=1.log").read_text()
    assert json.loads((home / "cache.json").read_text())["video_id"] == 3
    assert sqlite3.connect(home / "some.db").execute("select count(*) from told where number = 3").fetchone() == (2,)
    (raw, *_) = sorted((home / "simulated/events").glob("*.parquet"))
    assert 0 < pq.read_table(raw).num_rows < 38
    changed = [entry for entry in numbered_log.entries("erasures") if "changes" in entry]
    assert {change["table"] for entry in changed for change in entry["changes"]} >= {
        "raw_events", "histories", "feature_snapshots", "recommendations"}


@BOTH
def test_data_docs_and_databases_never_knew_anybody(there):
    home, who = there
    traces = Traces(erase._person(who))
    told = {path.relative_to(home).parts[0] for path in home.rglob("*") if path.is_file()
            and found_in(str(path), path.read_bytes(), traces)}
    assert "reports" in told and not told & {"data_docs", "validation"}
    if len(who) > 3:
        database = home / "mlflow/mlflow.db"
        assert (home / "data_docs/index.html").exists() and not found_in(str(database), database.read_bytes(), traces)


def test_nights_go_on_and_roll_back_after_it(there):
    _, who = there
    erase.main(["--user", who])
    rollback.main(["--to", "1"])
    assert load_release().release.as_of == "2026-01-06"
    real.land_days(there[0].parent, [LAST, LAST + timedelta(days=1)], text=len(who) > 3, users=3)
    real.night(LAST + timedelta(days=2))
    whom = erase._person(who)
    assert load_release().release.as_of == "2026-01-09" and not load_release().recommendations(whom.user_id).num_rows
    assert all(not erase.erasure.rows_of_person(chunk, whom) for chunk in lineage.chunks("events", LAST))
    real.night(LAST)
    assert publish(LAST, 5).how == "kept"


def test_rows_are_accounted_for(there):
    rows = {entry["number"]: entry["rows"] for entry in lineage.landings("raw_events")}
    erase.main(["--user", there[1]])
    for entry in lineage.landings("raw_events"):
        assert entry["rows"] + entry["erased"] == rows[entry["number"]] == entry["rows_in"] - entry["duplicates"]
        assert snapshot.read(lineage.landed(entry)).num_rows == entry["rows"]


def test_a_night_replays_without_the_user(there, capsys):
    erase.main(["--user", there[1]])
    capsys.readouterr()
    replay.main(["--as-of", str(LAST)])
    said = capsys.readouterr().out
    assert "equal    users' own features" in said and "equal    histories" in said
    assert "11 of 11 lists" in said and "kept     popularity" in said and "were read from it" in said


def test_killed_anywhere_releases_stay_whole_and_the_next_run_ends_it(there, tmp_path):
    home, who = there
    for n in range(2, 400, 45):
        again = shutil.copytree(home, tmp_path / f"killed {n}")
        os.environ["NIGHTREEL_HOME"] = str(again)
        fired = killing.killed_at(n, lambda: erase.main(["--user", who]))
        for number in numbered_log.numbers("releases"):
            load_release(number)
        erase.main(["--user", who])
        assert load_release().release.counts["users"] == 11
        shutil.rmtree(again)
        if not fired:
            break
    assert n > 90


def test_models_need_a_decision(there, capsys):
    from publishing.release_file import sha256_of

    numbered_log.append("promotions", lambda _: {
        "as_of": "2026-01-05", "identity": sha256_of(b""), "content_hash": "", "decision": "rejected", "metrics": {},
        "registered_version": 1, "reason": "worse"})
    before = sorted(there[0].rglob("*"))
    with pytest.raises(Refusal, match="1 models were trained on the user"):
        erase.main(["--user", there[1]])
    assert sorted(there[0].rglob("*")) == before
    erase.main(["--user", there[1], "--retrain"])
    assert "make train AS_OF=2026-01-05" in capsys.readouterr().out
    assert numbered_log.entries("erasures")[0]["decision"] == "to be trained again"


@BOTH
def test_nobody_is_erased_twice_or_by_mistake(there, capsys):
    home, who = there
    releases = numbered_log.numbers("releases")
    nobody = "viewer-999999-of-the-log" if len(who) > 3 else "999"
    erase.main(["--user", nobody])
    assert numbered_log.numbers("releases") == releases and "0 landed rows out" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        erase.main(["--user", "a\x00b"])
    if who == "3":
        with pytest.raises(Refusal, match="integer ids"):
            erase.main(["--user", "../../etc; rm -rf /"])


@pytest.mark.parametrize(("text", "found"), [
    ("user 7, JP", True), ('"user_id": 7', True), ("--user 7", True), ("user_id=7", True), ("7 users", False),
    ("<h3>Viewer 7</h3>", True), ("viewers 7", False), ("users 7,000 rows", False),
    ("user 71", False), ("port 7", False), ("user_id: '7'", True), ("user-7", False)])
def test_a_number_is_a_user_where_the_text_says_so(text, found):
    traces = Traces(erase.Person(7, "7"))
    assert bool(found_in("a.log", text.encode(), traces)) == found
