"""What may be live, and what a reader gets."""

import json
import os
import shutil
from pathlib import Path

import pytest

from lake import lineage, numbered_log, storage
from lake.snapshot import Damaged
from publishing import release_file
from publishing.live import NoRelease, load_release
from publishing.release import ALREADY_LIVE, KEPT, RELEASED, NotReleased, publish
from publishing.rollback import block, rollback, video_of
from tests.publishing.conftest import USERS, D, K, commit, promote


def videos_of(user: int) -> list[int]:
    return load_release().recommendations(user)["video_id"].to_pylist()


def test_a_night_without_a_model_is_a_release(night):
    night(D[0])
    outcome = publish(D[0], K)
    assert (outcome.how, outcome.release.number, outcome.release.model) == (RELEASED, 1, "none")
    lists = load_release().recommendations()
    assert lists.num_rows == USERS * K == outcome.release.counts["rows"]
    assert lists.filter(lists["user_id"].to_numpy() == 2)["rank"].to_pylist() == [1, 2, 3, 4, 5]
    assert load_release().fallback_for("DE").num_rows == load_release().fallback_for("ZZ").num_rows == K


def test_a_night_with_a_model_pins_it(night):
    model = promote(D[0])
    night(D[1])
    release = publish(D[1], K).release
    assert (release.model, release.snapshots["model"].content_hash) == ("1", model.content_hash)
    assert release.snapshots["ann_index"] is not None


def test_a_model_trained_while_mlflow_was_down_is_named_by_its_identity(night):
    model = promote(D[0], registered=False)
    night(D[1])
    assert publish(D[1], K).release.model == model.identity[:12] and load_release().release.model != "None"


def test_publishing_again_changes_nothing(night):
    night(D[0])
    publish(D[0], K)
    assert publish(D[0], K).how == ALREADY_LIVE
    assert numbered_log.numbers("releases") == [1]


def test_an_older_night_is_kept_and_not_live(night):
    for day in (D[1], D[0]):
        night(day)
    publish(D[1], K)
    assert publish(D[0], K).how == publish(D[0], K).how == KEPT
    assert load_release().release.as_of == D[1].isoformat()
    assert numbered_log.numbers("kept") == [1]
    assert rollback(to_kept=1).as_of == D[0].isoformat()
    with pytest.raises(NotReleased, match="withdrawn"):
        publish(D[1], K)


def test_another_length_of_the_same_night_is_a_new_release(night):
    night(D[0])
    night(D[0], k=8)
    publish(D[0], K)
    assert publish(D[0], 8).release.number == 2
    assert load_release().recommendations(1).num_rows == 8


def test_a_night_that_is_not_computed_is_named(night):
    with pytest.raises(lineage.Missing, match="jobs.build catalogue --as-of 2026-02-01|not built"):
        publish(D[0], K)
    with pytest.raises(NoRelease, match="make night"):
        load_release()


def test_rollback_withdraws_a_night_until_something_changes(night):
    for day in D[:3]:
        night(day)
        publish(day, K)
    assert (rollback().as_of, load_release().release.restores) == (D[1].isoformat(), 2)
    with pytest.raises(NotReleased, match="--to 3"):
        publish(D[2], K)
    assert publish(D[1], K).how == ALREADY_LIVE
    assert rollback().as_of == D[0].isoformat()
    night(D[2], landed="a day that was missing", removed=frozenset({7}))
    assert publish(D[2], K).how == RELEASED


def test_another_length_does_not_bring_a_withdrawn_night_back(night):
    for day in D[:2]:
        night(day)
        publish(day, K)
    rollback()
    night(D[1], k=8)
    with pytest.raises(NotReleased, match="withdrawn"):
        publish(D[1], 8)


def test_the_way_forward_to_a_withdrawn_release(night):
    for day in D[:2]:
        night(day)
        publish(day, K)
    rollback()
    assert rollback(to=2).as_of == D[1].isoformat()
    assert publish(D[1], K).how == ALREADY_LIVE


def test_rollback_hides_what_was_taken_down_since_and_lists_stay_full(night):
    night(D[0])
    publish(D[0], K)
    night(D[1], removed=frozenset({1, 2}))
    publish(D[1], K)
    assert rollback().tombstones["videos"] == [1, 2]
    lists = load_release().recommendations()
    assert not {1, 2} & set(lists["video_id"].to_pylist())
    assert lists.num_rows == USERS * K
    assert videos_of(0) == [0, 3, 4, 5, 6]


def test_a_blocked_video_is_gone_at_once_and_stays_gone(night):
    for day in D[:2]:
        night(day)
        publish(day, K)
    blocked = block(video_of("v1"), "rights")
    assert (blocked.kind, blocked.number, blocked.as_of) == ("block", 3, D[1].isoformat())
    assert 1 not in videos_of(0)
    assert block(1, "rights again").number == 3
    assert publish(D[1], K).how == ALREADY_LIVE
    assert (lineage.blocked(D[1]), lineage.blocked(D[2])) == ([], [1])
    assert rollback().as_of == D[0].isoformat()
    assert 1 not in videos_of(0)
    night(D[2])
    publish(D[2], K)
    assert 1 not in videos_of(0)
    with pytest.raises(NotReleased, match="no video"):
        video_of("../../etc")


def test_a_night_is_released_though_a_video_was_blocked_after_its_lists_were_made(night):
    promote(D[0])
    night(D[1])
    publish(D[1], K)
    night(D[2])
    block(1, "rights")
    release = publish(D[2], K).release
    assert (release.as_of, release.tombstones["videos"]) == (D[2].isoformat(), [1])
    assert 1 not in videos_of(1) and load_release().recommendations().num_rows == USERS * K
    night(D[2])
    made_again = publish(D[2], K).release
    assert made_again.number == release.number + 1, "the night run again knows the block, and is released"
    assert publish(D[2], K).how == ALREADY_LIVE


def test_a_publisher_that_slept_through_a_newer_release_moves_nothing_back(night, monkeypatch):
    for day in D[:3]:
        night(day)
    publish(D[0], K)
    create, asleep = storage.create_if_absent, [True]

    def frozen(path, content):
        if asleep and "/releases/" in path:
            asleep.clear()
            publish(D[2], K)
        return create(path, content)

    monkeypatch.setattr(storage, "create_if_absent", frozen)
    assert publish(D[1], K).how == KEPT
    assert load_release().release.as_of == D[2].isoformat()


def test_a_rollback_that_raced_a_publish_changes_nothing(night, monkeypatch):
    for day in D[:3]:
        night(day)
    publish(D[0], K), publish(D[1], K)
    create, asleep = storage.create_if_absent, [True]

    def frozen(path, content):
        if asleep and "/releases/" in path:
            asleep.clear()
            publish(D[2], K)
        return create(path, content)

    monkeypatch.setattr(storage, "create_if_absent", frozen)
    with pytest.raises(NotReleased, match="went live meanwhile"):
        rollback()
    assert [load_release().release.number, load_release().release.as_of] == [3, D[2].isoformat()]


@pytest.fixture(scope="module")
def published_nights(tmp_path_factory):
    """A home with two published nights of one model, made once."""
    return tmp_path_factory.mktemp("nights") / "home"


@pytest.fixture
def two_nights(published_nights, night, home):
    """A copy of that home, to damage."""
    if not published_nights.exists():
        promote(D[0])
        for day in D[1:3]:
            night(day)
            publish(day, K)
        shutil.copytree(home, published_nights)
    return shutil.copytree(published_nights, home, dirs_exist_ok=True)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def link(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".elsewhere"))
    path.unlink()
    os.symlink(path.with_suffix(".elsewhere"), path)


def swap(path: Path) -> None:
    """A whole and readable file of another table in its place."""
    inside = path.parts.index("lake") + 1
    other = "fallback" if path.parts[inside] != "fallback" else "popularity"
    (told,) = Path(*path.parts[:inside], other, f"as_of={D[2]}").glob("*.json" if path.suffix == ".json" else "*/*")
    path.write_bytes(told.read_bytes())


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, truncate, empty, swap, link, Path.unlink])
@pytest.mark.parametrize("name", [*release_file.NEEDED, "ann_index"])
@pytest.mark.parametrize("what", ["*/*", "*.json"])
def test_any_damaged_file_is_refused_by_name_and_rollback_repairs(two_nights, name, damage, what):
    home = two_nights
    (path,) = (home / "lake" / name / f"as_of={D[2]}").glob(what)
    damage(path)
    with pytest.raises(Damaged, match=path.name):
        load_release()
    assert rollback().as_of == D[1].isoformat()
    load_release()


@pytest.mark.parametrize("damage", [flip, truncate, empty, swap, link, Path.unlink])
def test_a_damaged_model_is_refused_by_name(two_nights, damage):
    """Both nights use the one model, so no rollback mends it."""
    (path,) = (two_nights / "lake/model").glob("*/*/*")
    damage(path)
    with pytest.raises(Damaged, match=path.name):
        load_release()


def test_a_release_file_that_is_a_link_is_refused_by_name(two_nights):
    link(two_nights / "releases/000002.json")
    with pytest.raises(Damaged, match="000002.json"):
        load_release()
    assert rollback().as_of == D[1].isoformat()


HOSTILE = {
    "empty": lambda told: b"",
    "not JSON": lambda told: b"{",
    "a list": lambda told: b"[]",
    "deep": lambda told: b"[" * 100_000,
    "no snapshots": lambda told: {**told, "snapshots": {}},
    "traversing identity": lambda told: _with(told, "identity", "../../../../etc/passwd"),
    "traversing date": lambda told: _with(told, "as_of", "../2026-02-01"),
    "traversing table": lambda told: {**told, "snapshots": {**told["snapshots"], "../x": None}},
    "no lists": lambda told: {**told, "snapshots": {**told["snapshots"], "recommendations": None}},
    "absurd K": lambda told: {**told, "k": 10**400},
    "K as text": lambda told: {**told, "k": "50"},
    "absurd tombstones": lambda told: {**told, "tombstones": {"videos": ["x"], "users": []}},
    "unknown field": lambda told: {**told, "exec": "rm"},
    "other night's table": lambda told: _with(told, "rows", 1),
}


def _with(told: dict, field: str, value: object) -> dict:
    lists = {**told["snapshots"]["recommendations"], field: value}
    return {**told, "snapshots": {**told["snapshots"], "recommendations": lists}}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_release_file_is_refused_by_name(two_nights, kind):
    path = two_nights / "releases" / "000002.json"
    content = HOSTILE[kind](json.loads(path.read_bytes()))
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(Damaged, match="000002.json"):
        load_release()
    assert rollback().as_of == D[1].isoformat()


def test_a_night_is_published_over_a_damaged_release(night, home):
    night(D[0])
    publish(D[0], K)
    (home / "releases" / "000001.json").write_bytes(b"")
    assert publish(D[0], K).release.number == 2
    load_release()


def test_a_damaged_night_is_never_published(night, home):
    night(D[0])
    publish(D[0], K)
    night(D[1])
    (path,) = (home / "lake" / "feature_snapshots" / f"as_of={D[1]}").glob("*/*")
    flip(path)
    with pytest.raises(Damaged, match=path.name):
        publish(D[1], K)
    assert load_release().release.number == 1


def test_two_tables_of_lists_need_a_choice(night):
    night(D[0])
    commit(lineage.plan("recommendations", D[0], k=K, active_days=7), [
        {"user_id": 1, "video_id": 2, "rank": 1, "score": 1.0, "source": "popular", "reason": "r",
         "user_original_id": "u1", "video_original_id": "v2"}])
    with pytest.raises(NotReleased, match="--active-days 0, --active-days 7"):
        publish(D[0], K)
    assert publish(D[0], K, active_days=7).release.counts["users"] == 1


def test_release_files_hold_no_secret_of_the_environment(night, home, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    night(D[0])
    publish(D[0], K)
    assert "hunter2" not in (home / "releases" / "000001.json").read_text()
    assert release_file.read(1).recorded.keys() == {"committed_at", "revision"}
