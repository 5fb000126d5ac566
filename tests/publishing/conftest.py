"""A small lake made through the lake's own API: a few users, videos and nights, with or without a model."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from lake import lineage, numbered_log, snapshot, writing
from lake.snapshot import Manifest
from lake.tables import table

D = [date(2026, 2, day) for day in range(1, 10)]
K, SPARE = 5, 3
USERS, VIDEOS = 4, 20
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    monkeypatch.delenv("REDIS_URL", raising=False)
    for name, inputs in INPUTS.items():
        monkeypatch.setitem(lineage._INPUTS, name, inputs)
    SEEN.clear()
    return tmp_path


SEEN: dict[date, str] = {}
INPUTS = {name: lambda as_of, name=name: {"landed": SEEN.get(as_of, f"{name} {as_of}")}
          for name in ("catalogue", "histories", "popularity", "feature_snapshots")}


def commit(plan: snapshot.Plan, rows: list[dict], **extra: object) -> Manifest:
    found = writing.reuse(plan)
    if found:
        return found
    with writing.attempt_at(plan) as attempt:
        if table(plan.table).columns:
            typed = pa.Table.from_pylist(rows, table(plan.table).schema)
            parts = [writing.write_part(plan.table, attempt.folder, typed, "part-00000")]
        else:
            parts = [writing.write_file(attempt, f"{plan.table}.bin", repr(sorted(extra.items())).encode())]
        writing.commit(attempt, parts, [], extra, {"seconds": 1.5})
    return snapshot.load(plan.table, plan.as_of, plan.identity)


def promote(as_of: date, registered: bool = True) -> Manifest:
    """A model trained as of a date, promoted; registered: whether MLflow was up."""
    manifest = commit(snapshot.Plan("model", as_of), [], weights=as_of.isoformat())
    numbered_log.append("promotions", lambda existing: {
        "as_of": as_of.isoformat(), "identity": manifest.identity, "content_hash": manifest.content_hash,
        "decision": "promoted", "reason": "better than the baselines", "registered_version": len(existing) + 1 if registered else None,
        "run_id": "0" * 32, "judged": {}, "metrics": {}})
    return manifest


@pytest.fixture
def night(home) -> Callable[..., None]:
    """make_night, in a home of the test's own."""
    return make_night


def make_night(as_of: date, k: int = K, removed: frozenset[int] = frozenset(), landed: str | None = None) -> None:
    """Commits every table that a release of that date names."""
    if landed:
        SEEN[as_of] = landed
    dimensions(as_of, removed)
    if lineage.model_of(as_of):
        commit(lineage.plan("ann_index", as_of), [], ntotal=VIDEOS - len(removed))
    videos = [v for v in range(VIDEOS) if v not in removed and v not in lineage.blocked(as_of)]
    lists = [{"user_id": u, "video_id": v, "rank": n + 1, "score": 1.0 / (n + 1), "source": "popular",
              "reason": "many watch it", "user_original_id": f"u{u}", "video_original_id": f"v{v}"}
             for u in range(USERS) for n, v in enumerate((videos[u:] + videos[:u])[:k + SPARE])]
    commit(lineage.plan("recommendations", as_of, k=k), lists)
    commit(lineage.plan("fallback", as_of, k=k), [
        {"country": c, "video_id": v, "rank": n + 1, "score": 1.0, "source": "popular", "reason": "many watch it",
         "video_original_id": f"v{v}"} for c in ("", "DE") for n, v in enumerate(videos[:k + SPARE])])


def dimensions(as_of: date, removed: frozenset[int] = frozenset()) -> None:
    commit(lineage.plan("catalogue", as_of), [
        {"video_id": v, "creator_id": v % 3, "categories": ["drama"], "duration_ms": 9000, "title": f"Film {v} <&>",
         "published_at": MIDNIGHT, "removed_at": MIDNIGHT + timedelta(days=20) if v in removed else None,
         "eligible": v not in removed, "original_id": f"v{v}"} for v in range(VIDEOS)])
    commit(lineage.plan("histories", as_of), [
        {"user_id": u, "video_ids": [u + 9, u + 10], "event_times": [MIDNIGHT] * 2, "arrived_times": [MIDNIGHT] * 2,
         "liked": [True, False], "seen_video_ids": [u + 9, u + 10], "play_count": 2, "last_play_at": MIDNIGHT,
         "country": "DE", "original_id": f"u{u}"} for u in range(USERS)])
    commit(lineage.plan("popularity", as_of), [
        {"country": "", "video_id": v, "play_count_all": VIDEOS - v, "play_count_7d": 1, "decayed_play_count": 1.0,
         "slowly_decayed_play_count": 1.0} for v in range(VIDEOS)])
    commit(lineage.plan("feature_snapshots", as_of), [])
