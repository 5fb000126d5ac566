"""The planted world of a simulated short-video service: who lives in it, what is shown there, and its rules.

Pure functions of seed and sizes; days.py lets it live, log.py turns its life into a log. The rules:

- Taste: a part per category (two to four favourites, pushed by the country), 8 latent factors, a slow straight drift.
- Affinity = taste on that day . vector of the video.
- Videos: creator, 1-3 categories, a vector (category weights, then factors near the creator's), quality, 8 s - 5 min.
- Creators: a home category and a Zipf-like share of the videos; about 4 videos in 10 are episodes of a series of 3-8.
- Publishing: about a third on the way; freshness = exp(-age / `fresh_days`), so that new videos are popular for days.
- Removal: about 1 in 25 on the way, a new row version; shows stop 2 h earlier, so no event of a video comes after it.
- Sequence: an episode played makes the next of its series due: likelier to be shown and played, until it is played.
- Momentum: the last video played raises the taste for the category that `follows` its own (one planted ring of 16).
- Users: Zipf-Mandelbrot activity, the hours of four countries, weekends 30 % busier; a fifth sign up on the way.
- Request: 8-12 videos, all impressions at its time, drawn one after another without replacement from the policy q.
- Policy: q = `popular_share` x popularity (decayed plays up to last midnight) + `guess_share` x softmax of a guessed
  affinity (taste + `guess_error`, quality, freshness, sequence) + `uniform_share` x uniform, over what is up.
- Propensity = q(video) / (1 - sum of q over the positions above it): exactly the probability that the policy draws this
  video at this position of this request, given all that came before and what already stands above it in the list.
- Play: P(play | shown) = logistic(`play_bias` + affinity with momentum + `quality_weight` x quality + `fresh_weight` x
  freshness - `position_bias` x ln(1 + position) + `next_episode_bonus` if due - `seen_penalty` if this user played it
  before); position counts from 0, the top.
- Watch: watched share of the duration = logistic(0.2 + 0.7 x affinity + N(0, 0.8)); a play is told when it ends.
- Reactions: likes and shares follow affinity and watched share; not_interested, a low affinity of what wasn't played.
"""

import zlib
from dataclasses import dataclass
from datetime import date

import numpy as np

from lake.dates import DAY_US, midnight_us
from simulation.titles import CATEGORIES, make_titles

WORLD_VERSION = 1  # raise it when the same seed and sizes would give other rows
NEVER_US = 2**62
NULL = -2**63  # stands for null in int64 arrays
FACTORS = 8
COUNTRIES = ("BR", "DE", "JP", "US")
LANGUAGES = ("pt", "de", "ja", "en")
UTC_OFFSET_HOURS = np.array([-3, 1, 9, -6])
COUNTRY_SHARES = np.array([0.25, 0.2, 0.2, 0.35])
LIMITS = {"users": (20, 1_000_000), "videos": (60, 1_000_000), "days": (1, 3650), "seed": (0, 2**63 - 1)}


@dataclass(frozen=True)
class Size:
    """What makes one world different from another: sizes, first UTC day, seed. ValueError where none can be made."""

    users: int = 2000
    videos: int = 3000
    days: int = 35
    start: date = date(2026, 1, 1)
    seed: int = 7

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            told = getattr(self, name)
            if not least <= told <= most:
                raise ValueError(f"--{name} must be {least:,} to {most:,} for a world to live, not {told:,}")
        if self.users * self.videos > 10**9:
            raise ValueError(f"{self.users:,} users x {self.videos:,} videos need over 2 GB of memory;"
                             " ask for fewer --users or --videos")
        if not date(1971, 1, 1) <= self.start <= date(2200, 1, 1):
            raise ValueError(f"--start must be between 1971-01-01 and 2200-01-01, not {self.start}")

    @property
    def start_us(self) -> int:
        return midnight_us(self.start)

    @property
    def end_us(self) -> int:
        """First instant after the world, exclusive."""
        return self.start_us + self.days * DAY_US


@dataclass(frozen=True)
class Rules:
    """The constants of the rules above; written to the truth as they are."""

    play_bias: float = -1.9
    quality_weight: float = 0.8
    fresh_weight: float = 1.0
    fresh_days: float = 4.0
    position_bias: float = 0.4
    next_episode_bonus: float = 1.5
    follow_taste: float = 1.5
    seen_penalty: float = 2.0
    popular_share: float = 0.3
    guess_share: float = 0.5
    uniform_share: float = 0.2
    guess_sharpness: float = 1.2
    guess_next_episode: float = 1.2
    seen_show: float = 0.05
    popularity_kept: float = 0.85
    sessions_per_day: float = 0.15
    requests_per_session: float = 2.0


@dataclass(frozen=True)
class Videos:
    """All videos by published_at; row n has id n + 1. Times are UTC microseconds; removed_at NEVER_US = not removed."""

    creator: np.ndarray        # (V,) int64 creator ids from 1
    categories: np.ndarray     # (V, 3) int64 into CATEGORIES, -1 = none
    vector: np.ndarray         # (V, 24) float32: category weights, then factors
    quality: np.ndarray        # (V,) float32
    duration_ms: np.ndarray    # (V,) int64
    published_at: np.ndarray   # (V,) int64
    removed_at: np.ndarray     # (V,) int64
    arrived_at: np.ndarray     # (V,) int64 the row is known, and the video shown, from here on
    next_episode: np.ndarray   # (V,) int64 row of the next episode, -1 = none
    titles: list[str]


@dataclass(frozen=True)
class Users:
    """All users; row n has id n + 1. joined_at is also when the user's row arrives."""

    joined_at: np.ndarray     # (U,) int64 UTC microseconds, ascending
    country: np.ndarray       # (U,) int64 into COUNTRIES
    language: np.ndarray      # (U,) int64 into LANGUAGES
    activity: np.ndarray      # (U,) float64, mean 1
    taste: np.ndarray         # (U, 24) float32 on the first day
    drift: np.ndarray         # (U, 24) float32 added over 35 days
    guess_error: np.ndarray   # (U, 24) float32 what the logging policy gets wrong


@dataclass(frozen=True)
class World:
    """Everything that is decided before the first day."""

    size: Size
    rules: Rules
    users: Users
    videos: Videos
    follows: np.ndarray  # (16,) int64 the category that follows each


def stream(seed: int, name: str) -> np.random.Generator:
    """An independent random stream per purpose, so that changing one part leaves the others as they were."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))


def on_grid(vectors: np.ndarray) -> np.ndarray:
    """float32 multiples of 1/256: dot products of such vectors are exact in any order, on any number of threads."""
    return (np.rint(vectors * 256) / 256).astype(np.float32)


def make_world(size: Size, rules: Rules | None = None) -> World:
    """The world of a size; the default rules are the ones that WORLD_VERSION stands for."""
    ring = stream(size.seed, "follows").permutation(len(CATEGORIES))
    follows = np.empty(len(CATEGORIES), dtype=np.int64)
    follows[ring] = np.roll(ring, -1)
    return World(size, rules or Rules(), make_users(size), make_videos(size), follows)


def make_users(size: Size) -> Users:
    rng, n, c = stream(size.seed, "users"), size.users, len(CATEGORIES)
    country = rng.choice(len(COUNTRIES), n, p=COUNTRY_SHARES)
    english = rng.random(n) < 0.15
    activity = (rng.permutation(n) + 1 + n / 200) ** -0.8
    joined = np.where(rng.random(n) < 0.2, rng.integers(0, size.days * DAY_US, n), 0)
    return Users(
        joined_at=size.start_us + np.sort(joined),
        country=country,
        language=np.where(english, LANGUAGES.index("en"), country),
        activity=activity / activity.mean(),
        taste=_tastes(rng, country, n),
        drift=on_grid(np.hstack([rng.normal(0, 0.7, (n, c)), rng.normal(0, 0.3, (n, FACTORS))])),
        guess_error=on_grid(np.hstack([rng.normal(0, 0.4, (n, c)), rng.normal(0, 0.25, (n, FACTORS))])))


def _tastes(rng: np.random.Generator, country: np.ndarray, n: int) -> np.ndarray:
    """(n, 24) float32: two to four favourite categories, pushed by the country; latent factors of length about 1.5."""
    pull = rng.normal(0, 0.6, (len(COUNTRIES), len(CATEGORIES)))[country]
    rank = np.argsort(np.argsort(-(pull + rng.gumbel(0, 1, pull.shape)), axis=1), axis=1)
    favourite = rank < rng.integers(2, 5, n)[:, None]
    likes = np.where(favourite, rng.uniform(1.2, 2.4, pull.shape), rng.normal(-0.7, 0.5, pull.shape))
    return on_grid(np.hstack([likes + 0.4 * pull, rng.normal(0, 1.5 / np.sqrt(FACTORS), (n, FACTORS))]))


def make_videos(size: Size) -> Videos:
    """Works first (a series or a single video, by one creator, on one subject), then episodes, in publishing order."""
    rng, n = stream(size.seed, "videos"), size.videos
    lengths = np.where(rng.random(n) < 0.11, rng.integers(3, 9, n), 1)
    work = np.repeat(np.arange(n), lengths)[:n]
    episode = np.arange(n) - np.searchsorted(work, work)
    creator, categories, factors, quality = _works(rng, int(work[-1]) + 1, creators=max(8, n // 12))
    published = _publishing(rng, size, work, episode)
    order = np.lexsort((episode, work, published))
    row = np.empty(n, dtype=np.int64)
    row[order] = np.arange(n)
    next_episode = np.where(np.append(work[1:] == work[:-1], False), np.roll(row, -1), -1)
    vector = _video_vectors(categories[work], factors[work] + rng.normal(0, 0.35, (n, FACTORS)))
    arrived = np.maximum(published + rng.integers(1, 120, n) * 1_000_000, size.start_us)
    duration_s = np.clip(rng.lognormal(np.log(35), 0.8, n), 8, 300)
    return Videos(
        creator=creator[work][order] + 1,
        categories=categories[work][order],
        vector=vector[order],
        quality=(quality[work] + rng.normal(0, 0.6, n)).astype(np.float32)[order],
        duration_ms=(duration_s * 1000).astype(np.int64)[order],
        published_at=published[order],
        removed_at=_removals(rng, size, arrived)[order],
        arrived_at=arrived[order],
        next_episode=next_episode[order],
        titles=_titles(size, categories, work, episode, order))


def _works(rng: np.random.Generator, works: int, creators: int) -> tuple[np.ndarray, ...]:
    """Per work: creator (0-based), categories (3, -1 = none), factors (8,) and quality, mostly the creator's."""
    share = (np.arange(creators) + 3.0) ** -0.7
    creator = rng.choice(creators, works, p=share / share.sum())
    home = rng.integers(0, len(CATEGORIES), creators)[creator]
    first = np.where(rng.random(works) < 0.8, home, rng.integers(0, len(CATEGORIES), works))
    steps = 1 + np.argsort(rng.random((works, len(CATEGORIES) - 1)), axis=1)[:, :2]
    others = (first[:, None] + steps) % len(CATEGORIES)
    others[np.arange(2) >= rng.choice(3, works, p=[0.45, 0.4, 0.15])[:, None]] = -1
    factors = rng.normal(0, 0.85, (creators, FACTORS))[creator] + rng.normal(0, 0.35, (works, FACTORS))
    quality = rng.normal(0, 0.5, creators)[creator] + rng.normal(0, 0.6, works)
    return creator, np.column_stack([first, others]), factors, quality


def _publishing(rng: np.random.Generator, size: Size, work: np.ndarray, episode: np.ndarray) -> np.ndarray:
    """published_at, whole seconds: a work's last episode on the way or before the start, the others 1-3 days apart."""
    works, length_us = int(work[-1]) + 1, size.days * DAY_US
    on_the_way = rng.random(works) < 0.36
    before = -(rng.exponential(40, works) * DAY_US).astype(np.int64) - 60_000_000
    last = np.where(on_the_way, rng.integers(0, length_us - 5 * 60_000_000, works), before)
    gap = rng.integers(DAY_US, 3 * DAY_US, works)
    published = size.start_us + last[work] - (np.bincount(work)[work] - 1 - episode) * gap[work]
    return published // 1_000_000 * 1_000_000


def _removals(rng: np.random.Generator, size: Size, arrived: np.ndarray) -> np.ndarray:
    earliest, latest = arrived + DAY_US, size.end_us - 10 * 60_000_000
    at = earliest + (rng.random(len(arrived)) * np.maximum(latest - earliest, 0)).astype(np.int64)
    return np.where((rng.random(len(arrived)) < 0.04) & (earliest < latest), at, NEVER_US)


def _video_vectors(categories: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """(V, 24) float32: 1 for the first category, 0.375 for the others, then factors."""
    weights = np.zeros((len(categories), len(CATEGORIES) + 1))
    for place, weight in enumerate((1.0, 0.375, 0.375)):
        weights[np.arange(len(categories)), categories[:, place]] = weight
    return on_grid(np.hstack([weights[:, :-1], factors]))


def _titles(size: Size, categories: np.ndarray, work: np.ndarray, episode: np.ndarray, order: np.ndarray) -> list[str]:
    names = [[CATEGORIES[c] for c in row if c >= 0] for row in categories]
    titles = make_titles(stream(size.seed, "titles"), names)
    in_series = np.bincount(work)[work] > 1
    full = [f"{titles[w]}, part {e + 1}" if series else titles[w] for w, e, series in zip(work, episode, in_series)]
    return [full[n] for n in order]
