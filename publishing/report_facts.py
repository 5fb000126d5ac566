"""What a nightly report tells, read from the release, its manifests and the logs; nothing is computed anew."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake import dates, lineage, numbered_log
from lake.dates import DAY_US
from lake.lineage import PUBLISH_LAG_HOURS
from lake.snapshot import Damaged, Manifest
from publishing import release_file
from publishing.live import Loaded
from publishing.release_file import Release

CHUNKS = ("events", "tiles")
NIGHTLY = ("feature_snapshots", "catalogue", "histories", "popularity", "model", "ann_index", "fallback",
           "recommendations")
DECILES = 10
AGES_DAYS = (1, 3, 7, 14, 28, 90, 365)


@dataclass(frozen=True)
class Step:
    """One table of the night: what it was made as, in how many seconds (None where nobody measured), when committed."""

    table: str
    manifest: Manifest
    seconds: float | None
    committed_at: str


@dataclass(frozen=True)
class Coverage:
    """What the lists show. shares over rows of lists; `deciles` pairs (share of rows, share of plays) per tenth of the
    eligible videos, most played first; `ages` pairs (share of rows, share of the catalogue) per age class."""

    rows: int
    users: int
    shown_videos: int
    eligible_videos: int
    sources: list[tuple[str, float]]
    deciles: list[tuple[float, float]]
    ages: list[tuple[str, tuple[float, float]]]
    short_lists: int


@dataclass(frozen=True)
class Landed:
    """What the landings before as_of say of one raw table, summed."""

    table: str
    rows_in: int
    rows: int
    quarantined: dict[str, int]
    duplicates: int
    lacks: list[str]
    assumed: bool


def steps(loaded: Loaded) -> list[Step]:
    """The tables of a release in the order of lake/tables.py, the night's newest chunks of events and tiles first."""
    as_of = loaded.release.date
    found = [lineage.chunks(name, as_of)[-1] for name in CHUNKS if _chunked(name, as_of)]
    found += [loaded.manifests[name] for name in NIGHTLY if name in loaded.manifests]
    return [Step(m.table, m, m.recorded.get("seconds"), str(m.recorded.get("committed_at", ""))) for m in found]


def _chunked(name: str, as_of: date) -> bool:
    try:
        return bool(lineage.chunks(name, as_of))
    except (lineage.Missing, Damaged):
        return False


def landed(as_of: date) -> list[Landed]:
    """Per raw table, what its landings before as_of kept and refused."""
    found = []
    for name in ("raw_events", "raw_videos", "raw_users"):
        entries = lineage.landings(name, as_of)
        if entries:
            reasons: dict[str, int] = {}
            for entry in entries:
                for reason, count in entry.get("quarantined", {}).items():
                    reasons[reason] = reasons.get(reason, 0) + count
            found.append(Landed(
                name, sum(e.get("rows_in", e["rows"]) for e in entries), sum(e["rows"] for e in entries), reasons,
                sum(e.get("duplicates", 0) for e in entries), list(entries[-1].get("lacks", [])),
                any(e.get("arrival") == "assumed" for e in entries)))
    return found


def event_counts(as_of: date) -> dict[str, int]:
    """Of the chunks before as_of: rows_in, duplicates, conflicts, and events by days between happening and arriving."""
    counts = {"rows_in": 0, "duplicates": 0, "conflicts": 0, "late_1": 0, "late_more": 0}
    for chunk in lineage.chunks("events", as_of) if _chunked("events", as_of) else []:
        for name in ("rows_in", "duplicates", "conflicts"):
            counts[name] += chunk.extra.get(name, 0)
        for happened, arrived, count in chunk.extra.get("by_day", []):
            days = (date.fromisoformat(arrived) - date.fromisoformat(happened)).days
            if days >= 1 and date.fromisoformat(arrived) < as_of:
                counts["late_1" if days == 1 else "late_more"] += count
    return counts


def coverage(loaded: Loaded) -> Coverage:
    """Catalogue share, sources, popularity and age of what the lists show."""
    rows = loaded.recommendations()
    catalogue = loaded.table("catalogue", ["video_id", "published_at", "eligible"])
    catalogue = catalogue.filter(catalogue["eligible"]).sort_by("video_id")
    ids = catalogue["video_id"].to_numpy()
    shown = rows["video_id"].to_numpy()
    lengths = rows.group_by("user_id").aggregate([([], "count_all")])["count_all"].to_numpy()
    sources = rows.group_by("source").aggregate([([], "count_all")]).to_pylist()
    total = max(rows.num_rows, 1)
    return Coverage(
        rows.num_rows, len(lengths), len(np.unique(shown)), len(ids),
        sorted(((each["source"], each["count_all"] / total) for each in sources), key=lambda s: (-s[1], s[0])),
        _deciles(ids, shown, _plays(loaded, ids)), _ages(catalogue, shown, loaded.release.date),
        int((lengths < loaded.release.k).sum()))


def _plays(loaded: Loaded, ids: np.ndarray) -> np.ndarray:
    """Plays ever of each eligible video: f64[V]."""
    rows = loaded.table("popularity", ["country", "video_id", "play_count_all"])
    rows = rows.filter(pc.equal(rows["country"], ""))
    return _spread(ids, rows["video_id"].to_numpy(), rows["play_count_all"].to_numpy())


def _spread(ids: np.ndarray, keys: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of weights per id (ids ascending); keys elsewhere are dropped."""
    if not len(ids):
        return np.zeros(0)
    place = np.searchsorted(ids, keys)
    inside = ids[np.minimum(place, len(ids) - 1)] == keys
    return np.bincount(place[inside], weights[inside], len(ids))


def _deciles(ids: np.ndarray, shown: np.ndarray, plays: np.ndarray) -> list[tuple[float, float]]:
    counts = _spread(ids, shown, np.ones(len(shown)))
    order = np.argsort(-plays, kind="stable")
    tenths = np.array_split(order, DECILES)
    return [(float(counts[tenth].sum() / max(counts.sum(), 1)), float(plays[tenth].sum() / max(plays.sum(), 1)))
            for tenth in tenths]


def _ages(catalogue: pa.Table, shown: np.ndarray, as_of: date) -> list[tuple[str, tuple[float, float]]]:
    ids = catalogue["video_id"].to_numpy()
    age = (dates.midnight_us(as_of) - catalogue["published_at"].cast(pa.int64()).to_numpy()) / DAY_US
    counts = _spread(ids, shown, np.ones(len(shown)))
    group = np.searchsorted(AGES_DAYS, age)
    names = [f"≤{days} d" if n == 0 else f"–{days} d" for n, days in enumerate(AGES_DAYS)]
    names.append(f">{AGES_DAYS[-1]} d")
    rows, videos = max(counts.sum(), 1), max(len(ids), 1)
    return [(name, (float(counts[group == n].sum() / rows), float((group == n).sum() / videos)))
            for n, name in enumerate(names)]


def late_nights(releases: list[Release]) -> list[tuple[Release, timedelta]]:
    """Published nights whose file came into being after as_of + publish lag, and by how much; a clock reading."""
    found = []
    for release in releases:
        committed = release.recorded.get("committed_at")
        planned = dates.midnight(release.date) + timedelta(hours=PUBLISH_LAG_HOURS)
        if release.kind == "publish" and committed and datetime.fromisoformat(committed) > planned:
            found.append((release, datetime.fromisoformat(committed) - planned))
    return found


def published(release: Release) -> list[Release]:
    """Every release up to this one."""
    return [each for each in release_file.readable() if each.number <= release.number]


def trainings(as_of: date) -> list[dict]:
    """Promotion log entries with training as_of up to a date, oldest first."""
    found = [entry for entry in numbered_log.entries("promotions") if date.fromisoformat(entry["as_of"]) <= as_of]
    return sorted(found, key=lambda entry: (entry["as_of"], entry["number"]))
