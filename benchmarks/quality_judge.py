"""One evaluator for ours and every peer: full rankings of 100 unseen videos, metrics per user, pooled over moments."""

from dataclasses import dataclass, field

import numpy as np

from benchmarks.quality_log import Split
from funnel import ragged
from lake.dates import DAY_US
from training import metrics

OURS = "nightreel"
HEADLINES = ("ndcg@10", "recall@100")
NEW_PLAYS = 10
HEAVY_SHARE = 0.2
NEW_DAYS = 7
POPULAR_SHARE = 0.1


@dataclass
class Pool:
    """Values per judged user of every system, and per moment its lists' coverage, novelty and age; `users` i64[Q]."""

    per_user: dict[str, dict[str, list[np.ndarray]]] = field(default_factory=dict)
    per_split: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    plays: list[np.ndarray] = field(default_factory=list)
    judged: int = 0
    moments: int = 0
    absent: dict[str, str] = field(default_factory=dict)
    truth: dict = field(default_factory=dict)


def add(pool: Pool, split: Split, systems: dict[str, np.ndarray]) -> None:
    """Judge each system's lists i64[Q, 100] (places in the catalogue, -1 where a list ends) at one moment."""
    relevant = np.diff(split.offsets)
    slices = _video_slices(split)
    history = np.bincount(split.user, minlength=len(split.user_ids))[split.judged]
    for name, lists in systems.items():
        hits = metrics.hits_of(lists, split.offsets, split.truth)
        values = {"ndcg@10": metrics.ndcg(hits, relevant, 10), "recall@10": metrics.recall(hits, relevant, 10),
                  "recall@100": metrics.recall(hits, relevant, 100), "hit_rate@10": metrics.hit_rate(hits, 10)}
        for kind, chosen in slices.items():
            values[f"recall@100 {kind}"] = _recall_of(split, lists, chosen)
        mine = pool.per_user.setdefault(name, {})
        for metric, each in values.items():
            mine.setdefault(metric, []).append(each)
        age = (split.now_us - split.published_us) / DAY_US
        shown = lists[:, :10][lists[:, :10] >= 0]
        facts = {"coverage@10": metrics.coverage(lists, len(split.video_ids), 10),
                 "novelty@10": metrics.novelty(lists, split.counts, 10),
                 "age_days@10": float(np.median(age[shown])) if len(shown) else float("nan")}
        for metric, value in facts.items():
            pool.per_split.setdefault(name, {}).setdefault(metric, []).append(value)
    pool.plays.append(history)
    pool.judged, pool.moments = pool.judged + len(split.judged), pool.moments + 1


def _video_slices(split: Split) -> dict[str, np.ndarray]:
    """bool[V] each: published in the last 7 days; in the most played tenth."""
    counts = split.counts
    popular = np.zeros(len(counts), bool)
    popular[np.argsort(-counts, kind="stable")[:max(1, int(len(counts) * POPULAR_SHARE))]] = True
    return {"new videos": split.now_us - split.published_us < NEW_DAYS * DAY_US, "popular videos": popular}


def _recall_of(split: Split, lists: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """f64[Q]: recall@100 of the watched videos of a kind; NaN for who watched none of it."""
    kept = chosen[split.truth]
    offsets = ragged.keep(split.offsets, kept)
    found = metrics.recall(metrics.hits_of(lists, offsets, split.truth[kept]), np.diff(offsets), 100)
    return np.where(np.diff(offsets) > 0, found, np.nan)


def values(pool: Pool, name: str, metric: str) -> np.ndarray:
    return np.concatenate(pool.per_user[name][metric])


def best_peer(pool: Pool, metric: str) -> str | None:
    peers = sorted(set(pool.per_user) - {OURS})
    return max(peers, key=lambda name: values(pool, name, metric).mean(), default=None)


def told(pool: Pool) -> dict:
    """The protocol's part of the last line. lower, upper: of ours minus the best peer's NDCG@10, paired, 95 %."""
    facts: dict = {"judged_users": pool.judged, "moments": pool.moments, "absent": pool.absent, **pool.truth}
    if not pool.judged:
        return facts
    found = {name: {metric: round(float(values(pool, name, metric).mean()), 5) for metric in HEADLINES}
             for name in sorted(pool.per_user)}
    facts |= {"ours": found.pop(OURS), "peers": found}
    for metric, prefix in zip(HEADLINES, ("", "recall@100_"), strict=True):
        rival = best_peer(pool, metric)
        if rival:
            mean, low, high = metrics.interval(values(pool, OURS, metric) - values(pool, rival, metric))
            facts |= {f"{prefix}best_peer": rival, f"{prefix}difference": round(mean, 5),
                      f"{prefix}lower": round(low, 5), f"{prefix}upper": round(high, 5)}
    return facts


def report(protocol: str, pool: Pool) -> list[str]:
    """A table for people, best first."""
    lines = ["", f"{protocol}: {pool.judged:,} judged users at {pool.moments} moments"]
    if not pool.judged:
        return lines
    order = sorted(pool.per_user, key=lambda name: -values(pool, name, "ndcg@10").mean())
    lines.append(f"{'':20} {'ndcg@10 [95 %]':>24} {'recall@10':>10} {'recall@100 [95 %]':>26} {'hit@10':>7} "
                 f"{'cover':>6} {'novelty':>8} {'age d':>7}")
    for name in order:
        intervals = [metrics.interval(values(pool, name, metric)) for metric in ("ndcg@10", "recall@100")]
        ndcg, recall = (f"{mean:.4f} [{low:.4f}, {high:.4f}]" for mean, low, high in intervals)
        means = {metric: float(np.mean(each)) for metric, each in pool.per_split[name].items()}
        lines.append(f"{name:20} {ndcg:>24} {values(pool, name, 'recall@10').mean():10.4f} {recall:>26} "
                     f"{values(pool, name, 'hit_rate@10').mean():7.4f} {means['coverage@10']:6.3f} "
                     f"{means['novelty@10']:8.2f} {means['age_days@10']:7.0f}")
    return lines + _slices(pool, order) + [f"{name}: absent, {why}" for name, why in pool.absent.items()]


def _slices(pool: Pool, order: list[str]) -> list[str]:
    plays = np.concatenate(pool.plays)
    heavy = plays >= np.quantile(plays, 1 - HEAVY_SHARE)
    kinds = {f"new users (<= {NEW_PLAYS} plays)": plays <= NEW_PLAYS, "heavy users (top fifth)": heavy}
    lines = [f"{'':20} " + " ".join(f"{kind:>28}" for kind in (*kinds, "new videos", "popular videos"))
             + "   (users: ndcg@10, videos: recall@100)"]
    for name in order:
        cells = [_cell(values(pool, name, "ndcg@10")[mask]) for mask in kinds.values()]
        cells += [_cell(values(pool, name, f"recall@100 {kind}")) for kind in ("new videos", "popular videos")]
        lines.append(f"{name:20} " + " ".join(f"{cell:>28}" for cell in cells))
    return lines


def _cell(each: np.ndarray) -> str:
    each = each[~np.isnan(each)]
    if not len(each):
        return "nobody"
    mean, low, high = metrics.interval(each)
    return f"{mean:.4f} [{low:.3f}, {high:.3f}] n={len(each)}"
