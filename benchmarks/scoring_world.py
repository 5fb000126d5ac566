"""A seeded lake that a night can be listed from: catalogue, histories, features and a promoted model of a wanted size.

Tables are those that the jobs would write, without a log behind them. Users have three tastes each, seven plays in ten
follow one of them, and popularity is Zipf 1 inside a category and over all. The model is a real bundle: its video tower
is the warm start (`training/warm_start.py`) of the histories, its other weights are those of a new model.
"""

import argparse
import os
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.frames import parts_of
from funnel import ragged
from funnel.neighbours import NeighbourRules
from lake import lineage, numbered_log, snapshot, writing
from lake.columns import TIMESTAMP
from lake.dates import DAY_US, midnight_us
from lake.hashing import bucket_of, splitmix64
from lake.tables import FEATURES, WINDOWS_DAYS, table

AS_OF = date(2026, 2, 5)
CATEGORIES, COUNTRIES, DAYS, TASTES, MOST_PLAYS = 100, 10, 60, 3, 200
CREATOR_VIDEOS = 10
SHOWN_PER_PLAY, WATCH_MS = 3, 30_000


@dataclass(frozen=True)
class Size:
    """mean_plays: of a history, geometric. width: of the model's vectors, the night's five numbers apart."""

    users: int
    videos: int = 100_000
    mean_plays: int = 40
    width: int = 64
    seed: int = 11


@dataclass(frozen=True, eq=False)
class Plays:
    """N plays by user, oldest first: offsets i64[U+1] into video i64[N], event_us i64[N] and liked bool[N]."""

    offsets: np.ndarray
    video: np.ndarray
    event_us: np.ndarray
    liked: np.ndarray

    @property
    def row(self) -> np.ndarray:
        return ragged.row_of(self.offsets)


def write(size: Size) -> None:
    """Everything that `jobs.ann_index` and `jobs.recommendations` read, into the lake at NIGHTREEL_HOME."""
    landed = {"table": "raw_events", "start": "2026-01-01", "end": AS_OF.isoformat(), "identity": "-",
              "content_hash": str(size)}
    numbered_log.append("landing", lambda _: {"tables": [landed], "sources": [], "id_types": {}})
    for name in ("events", "tiles"):
        _commit(lineage.chunk_plans(name, AS_OF)[0], table(name).schema.empty_table(), 1)
    plays = _plays(size)
    parts = parts_of(SHOWN_PER_PLAY * len(plays.video), os.cpu_count() or 1)
    for name, rows in (("catalogue", _catalogue(size)), ("histories", _histories(plays)),
                       ("popularity", _popularity(size, plays)), ("feature_snapshots", _features(size, plays))):
        _commit(lineage.plan(name, AS_OF), rows, parts)
    _promote(size)


def _commit(plan: snapshot.Plan, rows: pa.Table, parts: int) -> None:
    """Write rows in as many files as the jobs would of such a log, its buckets dealt in turn."""
    part_of = bucket_of(rows[table(plan.table).bucket_by].to_numpy()) % parts
    with writing.attempt_at(plan) as attempt:
        written = [writing.write_part(plan.table, attempt.folder, rows.filter(part_of == part), f"part-{part:05d}")
                   for part in range(parts)]
        writing.commit(attempt, written, [])


def _plays(size: Size) -> Plays:
    rng = np.random.default_rng(size.seed)
    lengths = np.minimum(rng.geometric(1 / size.mean_plays, size.users), MOST_PLAYS)
    count, offsets = int(lengths.sum()), ragged.offsets_of(lengths)
    row = ragged.row_of(offsets)
    tastes = rng.integers(0, CATEGORIES, (size.users, TASTES))[row, rng.integers(0, TASTES, count)]
    places = size.videos // CATEGORIES  # video v is of category v % CATEGORIES; a small place is a popular video
    own = tastes + CATEGORIES * _zipf(rng, places, count)
    video = np.where(rng.random(count) < 0.7, own, _zipf(rng, size.videos, count))
    ages = rng.integers(1, DAYS * DAY_US, count)
    event_us = midnight_us(AS_OF) - ages[np.lexsort((-ages, row))]
    return Plays(offsets, video, event_us, rng.random(count) < 0.15)


def _zipf(rng: np.random.Generator, places: int, count: int) -> np.ndarray:
    shares = np.cumsum(1 / np.arange(1, places + 1))
    return np.minimum(np.searchsorted(shares / shares[-1], rng.random(count)), places - 1)


def _creator(video: np.ndarray) -> np.ndarray:
    """A creator has about ten videos, of any popularity."""
    return (splitmix64(video) % np.uint64(max(int(video.max(initial=0)) // CREATOR_VIDEOS, 1))).astype(np.int64)


def _country(users: int) -> np.ndarray:
    return np.array([f"C{n}" for n in range(COUNTRIES)])[splitmix64(np.arange(users)) % np.uint64(COUNTRIES)]


def _catalogue(size: Size) -> pa.Table:
    ids = np.arange(size.videos)
    published = midnight_us(AS_OF) - (1 + splitmix64(ids + 1) % np.uint64(400)).astype(np.int64) * (DAY_US // 2)
    names = np.char.mod("%d", ids)
    return _whole("catalogue", {
        "video_id": ids, "creator_id": _creator(ids), "duration_ms": 5_000 + ids * 7919 % 300_000,
        "categories": pa.ListArray.from_arrays(np.arange(size.videos + 1, dtype=np.int32),
                                               pa.array(np.char.mod("category %d", ids % CATEGORIES))),
        "title": pa.array(np.char.add("A video of some length, number ", names)),
        "published_at": pa.array(published, TIMESTAMP), "eligible": np.ones(size.videos, bool),
        "first_seen_at": pa.array(published, TIMESTAMP), "original_id": pa.array(names)})


def _histories(plays: Plays) -> pa.Table:
    users, row = len(plays.offsets) - 1, plays.row
    seen = np.unique(row * (1 << 32) + plays.video)
    seen_offsets = np.searchsorted(seen, np.arange(users + 1) * (1 << 32))

    def lists(offsets: np.ndarray, values: pa.Array) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets.astype(np.int32), values)

    times = pa.array(plays.event_us, TIMESTAMP)
    return _whole("histories", {
        "user_id": np.arange(users), "video_ids": lists(plays.offsets, pa.array(plays.video)),
        "event_times": lists(plays.offsets, times), "arrived_times": lists(plays.offsets, times),
        "liked": lists(plays.offsets, pa.array(plays.liked)),
        "seen_video_ids": lists(seen_offsets, pa.array(seen % (1 << 32))),
        "play_count": np.diff(plays.offsets), "last_play_at": times.take(pa.array(plays.offsets[1:] - 1)),
        "country": pa.array(_country(users)), "original_id": pa.array(np.char.mod("user-%d", np.arange(users)))})


def _popularity(size: Size, plays: Plays) -> pa.Table:
    age_days = (midnight_us(AS_OF) - plays.event_us) / DAY_US
    country = _country(len(plays.offsets) - 1)[plays.row]
    parts = []
    for name in ("", *np.unique(country)):
        here = np.full(len(country), True) if name == "" else country == name
        ever = np.bincount(plays.video[here], minlength=size.videos)
        week = np.bincount(plays.video[here & (age_days <= 7)], minlength=size.videos)
        fading = {name: np.bincount(plays.video[here], 2.0 ** (-age_days[here] / days), size.videos)
                  for name, days in table("popularity").parameters["half_life_days"].items()}
        there = np.flatnonzero(ever)
        parts.append(_whole("popularity", {
            "country": pa.array([str(name)] * len(there), pa.string()), "video_id": there,
            "play_count_all": ever[there], "play_count_7d": week[there],
            **{name: counts[there] for name, counts in fading.items()}}))
    return pa.concat_tables(parts)


def _features(size: Size, plays: Plays) -> pa.Table:
    """Window sums of all views that a feature snapshot has; a play was one of three impressions."""
    category = np.char.mod("category %d", np.arange(CATEGORIES))
    countries, code = np.unique(_country(len(plays.offsets) - 1), return_inverse=True)
    nothing = np.zeros(len(plays.video), np.int64)
    views = (("user", plays.row, nothing, [""]), ("video", plays.video, nothing, [""]),
             ("creator", _creator(np.arange(size.videos))[plays.video], nothing, [""]),
             ("user_category", plays.row, plays.video % CATEGORIES, category),
             ("country_video", plays.video, code[plays.row], countries))
    return pa.concat_tables([_view(name, entity, attribute, np.asarray(names), plays)
                             for name, entity, attribute, names in views])


def _view(name: str, entity: np.ndarray, attribute: np.ndarray, names: np.ndarray, plays: Plays) -> pa.Table:
    keys, place = np.unique(entity * 1000 + attribute, return_inverse=True)
    columns = {}
    for days in WINDOWS_DAYS:
        inside = plays.event_us >= midnight_us(AS_OF) - days * DAY_US
        count = np.bincount(place[inside], minlength=len(keys))
        likes = np.bincount(place[inside & plays.liked], minlength=len(keys))
        columns |= {f"impression_count_{days}d": SHOWN_PER_PLAY * count, f"play_count_{days}d": count,
                    f"like_count_{days}d": likes, f"share_count_{days}d": count // 20,
                    f"not_interested_count_{days}d": count // 50, f"watch_ms_sum_{days}d": WATCH_MS * count,
                    f"duration_ms_sum_{days}d": 2 * WATCH_MS * count}
    assert set(columns) == set(FEATURES)
    rows = _whole("feature_snapshots", {
        "view": pa.array([name] * len(keys)), "entity_id": keys // 1000,
        "attribute": pa.array(names).cast(pa.string()).take(pa.array(keys % 1000)), **columns})
    return rows.filter(pc.greater(rows["play_count_28d"], 0))


def _whole(name: str, columns: dict) -> pa.Table:
    """Rows of a declared table; columns that are not given are null."""
    count = len(next(iter(columns.values())))
    return pa.table({field.name: columns.get(field.name, pa.nulls(count, field.type))
                     for field in table(name).schema}).cast(table(name).schema)


def _promote(size: Size) -> None:
    """Commit a bundle as the model of the night, and enter it in the promotion log."""
    from training import bundle, model_file

    files, told = bundle.files(_bundle(size))
    plan = snapshot.Plan("model", AS_OF, {"size": str(size)})
    with writing.attempt_at(plan) as attempt:
        parts = [writing.write_file(attempt, name, content) for name, content in
                 {**files, model_file.NAME: model_file.describe(told, told, {})}.items()]
        made = writing.commit(attempt, parts, [])
    numbered_log.append("promotions", lambda _: {"as_of": AS_OF.isoformat(), "identity": made.identity,
                                                 "content_hash": made.content_hash, "decision": "promoted"})


def _bundle(size: Size) -> object:
    import torch

    from funnel.night import load_histories, load_night
    from funnel.ranking import FEATURE_NAMES
    from training import loop, response, sequences, vocabulary, warm_start
    from training.bundle import Bundle
    from training.calibration import Calibration
    from training.fitted import FittedRetrieval
    from training.network import Heads
    from training.ranker import FittedRanker
    from training.response import FittedResponse
    from training.retrieval import Retrieval
    from training.settings import RankerSettings, RetrievalSettings

    night, users = load_night(AS_OF), load_histories(AS_OF)
    plan, ranking = RetrievalSettings(width=size.width), RankerSettings()
    names = vocabulary.learn(night, users.video_ids, users.countries)
    histories = sequences.of_users(users, night.video_ids, names, plan.length)
    model = Retrieval(names, plan)
    sizes = (len(names.video_ids), len(names.creator_ids), len(names.categories))
    encoded = loop.catalogue_of(night, names, histories, 1).encoded
    warm_start.begin(model.videos, warm_start.find(histories, encoded, sizes, plan.width, plan.seed))

    def heads(width: int, wanted: tuple[str, ...]) -> Heads:
        made = Heads(width, ranking.hidden, wanted, 0.0)
        torch.nn.init.normal_(made.deep.weight, 0, 0.1), torch.nn.init.normal_(made.straight.weight, 0, 0.1)
        return made.eval()

    play = FittedRanker(heads(len(FEATURE_NAMES), ("play",)), Calibration(), ranking, [])
    answers = FittedResponse(heads(len(response.NAMES), response.HEADS),
                             {name: Calibration() for name in response.HEADS}, 1, {})
    return Bundle(FittedRetrieval.of(model.eval(), names, plan, night), play, answers, NeighbourRules())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring_world", description=__doc__.splitlines()[0])
    parser.add_argument("users", type=int)
    parser.add_argument("--videos", type=int, default=Size.videos)
    parser.add_argument("--width", type=int, default=Size.width)
    chosen = parser.parse_args()
    write(Size(chosen.users, chosen.videos, width=chosen.width))
