"""What a clean-up takes and what it leaves, whenever it is killed."""

import shutil
from datetime import timedelta

import pytest

from jobs import clean, releases
from lake import lineage, numbered_log, snapshot, storage, writing
from lake.refusal import Refusal
from publishing import retention
from publishing.live import NoRelease, load_release
from publishing.release import KEPT, publish
from publishing.retention import Rules
from publishing.rollback import rollback
from tests.faults import killing
from tests.publishing.conftest import D, K, commit, promote
from tests.publishing.test_release import videos_of

NOW = Rules(keep=2, grace=timedelta(0))


@pytest.fixture
def six_nights(night, home):
    """Six released nights of a model, one older that was kept, an orphaned attempt; labels that saw two dates."""
    promote(D[0])
    for day in D[1:8]:
        night(day)
    for day in (*D[2:8], D[1]):
        publish(day, K)
    attempt = writing.begin(snapshot.Plan("popularity", D[1], {"killed": 1}))
    writing.write_file(attempt, "settings.json", b"{}")
    storage.write_bytes(str(home / "releases" / "000007.json.abc.tmp"), b"{")
    return home


def named_by(number: int) -> set[tuple[str, str]]:
    return {(name, told.identity) for name, told in load_release(number).release.snapshots.items() if told}


def there() -> set[tuple[str, str]]:
    return {(name, identity) for name in ("catalogue", "histories", "popularity", "feature_snapshots", "fallback",
                                          "recommendations", "ann_index", "model")
            for _, identity in snapshot.committed(name)}


def test_live_pinned_and_newest_stay_with_all_they_name(six_nights, capsys):
    releases.main(["--pin", "2"])
    stay = named_by(2) | named_by(5) | named_by(6)
    kept = {(name, told.identity) for name, told in retention.release_file.read(1, "kept").snapshots.items() if told}
    clean.clean(NOW)
    assert numbered_log.numbers("releases") == [2, 5, 6] and there() == stay | kept
    for number in (2, 5, 6):
        load_release(number)
    with pytest.raises(NoRelease):
        load_release(1)
    assert rollback().as_of == D[6].isoformat() and rollback(to_kept=1).as_of == D[1].isoformat()
    assert not list(six_nights.rglob("*.tmp")) and not list(six_nights.rglob("settings.json"))
    said = capsys.readouterr().out
    assert "recommendations         3 snapshots" in said and "left by kills" in said and "bytes" in said
    clean.clean(NOW)
    assert "clean: 0 snapshots and 0 other files removed, 0 bytes" in capsys.readouterr().out


def test_a_reader_finishes_within_the_grace_period(six_nights):
    held = load_release(1)
    before = there()
    clean.clean(Rules(keep=1, grace=timedelta(hours=1)))
    assert numbered_log.numbers("releases") == [6] and there() == before
    assert held.recommendations().num_rows and len(list((six_nights / "releases/retired").iterdir())) == 5
    clean.clean(Rules(keep=1, grace=timedelta(0)))
    assert there() < before and not list((six_nights / "releases").glob("retired/*"))


def test_a_dry_run_says_the_same_and_removes_nothing(six_nights, capsys):
    files = sorted(six_nights.rglob("*"))
    clean.clean(NOW, dry_run=True)
    would = [line for line in capsys.readouterr().out.splitlines() if "snapshots of" in line]
    assert sorted(six_nights.rglob("*")) == files
    clean.clean(NOW)
    assert [line for line in capsys.readouterr().out.splitlines() if "snapshots of" in line] == would


def test_killed_anywhere_every_release_that_is_listed_is_whole(six_nights, tmp_path, monkeypatch):
    whole = shutil.copytree(six_nights, tmp_path.parent / f"{tmp_path.name}-whole")
    monkeypatch.setenv("NIGHTREEL_HOME", str(whole))
    clean.clean(NOW)
    for n in range(1, 400, 5):
        home = shutil.copytree(six_nights, tmp_path.parent / f"{tmp_path.name}-{n}")
        monkeypatch.setenv("NIGHTREEL_HOME", str(home))
        fired = killing.killed_at(n, lambda: clean.clean(NOW))
        for number in numbered_log.numbers("releases"):
            load_release(number)
        clean.clean(NOW)
        left = {path.relative_to(home) for path in home.rglob("*")}
        assert left == {path.relative_to(whole) for path in whole.rglob("*")}, f"killed at {n}"
        shutil.rmtree(home)
        if not fired:
            break
    assert n > 40


def test_nothing_that_a_night_to_come_needs_goes(six_nights, night):
    labels = commit(snapshot.Plan("labels", D[4]), [], snapshot_days=[D[3].isoformat()])
    old = commit(snapshot.Plan("labels", D[2]), [], snapshot_days=[])
    rejected = commit(snapshot.Plan("model", D[3]), [], weights="lost the race")
    clean.clean(NOW)
    assert snapshot.committed("labels") == [(D[4], labels.identity)] and old.identity != labels.identity
    assert {as_of for as_of, _ in snapshot.committed("feature_snapshots")} == {*D[3:8], D[1]}
    assert rejected.identity not in {identity for _, identity in there()} and lineage.model_of(D[8]) is not None
    night(D[8])
    publish(D[8], K)
    assert videos_of(0)


def test_what_is_being_made_and_what_is_damaged_stays(six_nights, night):
    night(D[8])
    attempt = writing.begin(snapshot.Plan("histories", D[8]))
    writing.write_file(attempt, "part", b"still writing")
    (broken, *_) = sorted((six_nights / "lake/catalogue" / f"as_of={D[2]}").glob("*.json"))
    broken.write_bytes(b"{")
    clean.clean(Rules(keep=2, grace=timedelta(hours=1)))
    clean.clean(Rules(keep=1, grace=timedelta(0)))
    assert publish(D[8], K).release.as_of == D[8].isoformat()
    assert broken.exists() and list(broken.parent.glob("*/*"))


def test_pins_of_no_release_are_refused(six_nights):
    with pytest.raises(Refusal, match="no release 99"):
        releases.main(["--pin", "99"])
    releases.main(["--pin", "3"]), releases.main(["--unpin", "3"])
    assert retention.pinned() == set() and publish(D[1], K).how == KEPT
