"""Lets a simulated world live, day by day: requests, what is shown, what is played. The rules: world.py.

Within a day users don't affect one another (popularity is last midnight's): the n-th requests of all run as one array.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lake.dates import DAY_US, HOUR_US
from simulation.world import NULL, UTC_OFFSET_HOURS, World, on_grid, stream

SHOWN_MIN, SHOWN_MAX = 8, 12
MAX_REQUESTS_A_DAY = 48
CHUNK_CELLS = 1_000_000
TAKEDOWN_NOTICE_US = 2 * HOUR_US
IMPRESSION, PLAY, LIKE, SHARE, NOT_INTERESTED = range(5)
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 6, 6, 5, 5, 6, 8, 7, 6, 6, 7, 8, 10, 12, 14, 14, 10, 5], dtype=np.float64)

Columns = dict[str, np.ndarray]


@dataclass
class State:
    """What the days change. Videos as row numbers."""

    rng: np.random.Generator
    last_played: np.ndarray   # (U,) int64 video, -1 = nothing yet
    busy_until: np.ndarray    # (U,) int64 UTC microseconds
    played: np.ndarray        # (U, V) bool
    due: np.ndarray           # (U, V) bool: the episode before this one was played
    popularity: np.ndarray    # (V,) float64 decayed plays up to last midnight
    plays_today: np.ndarray   # (V,) int64
    requests: int = 0


@dataclass
class Requests:
    """n requests of distinct users on their way down the list."""

    user: np.ndarray          # (n,) int64 rows
    time: np.ndarray          # (n,) int64
    continued: np.ndarray     # (n,) bool: not the first of its session
    number: np.ndarray        # (n,) int64
    length: np.ndarray        # (n,) int64 how many are shown
    video: np.ndarray         # (n, 12) int64 rows
    propensity: np.ndarray    # (n, 12) float64
    taste: np.ndarray         # (n, 24) float32 true taste on that day
    chance: np.ndarray        # (n, 12, 3) uniform draws: play, reaction, share and pause
    noise: np.ndarray         # (n, 12) normal draws of the watched share
    clock: np.ndarray         # (n,) int64 how far the user is


def live(world: World) -> Iterator[Columns]:
    """The events of each day's requests, in no order that matters; empty where nobody came.

    Columns: user, video (rows), event_type (0-4), event_time, watch_ms and position (NULL = none), request,
    propensity (NaN = none), continued (bool).
    """
    users, videos = world.size.users, world.size.videos
    state = State(stream(world.size.seed, "days"), np.full(users, -1), np.zeros(users, dtype=np.int64),
                  *np.zeros((2, users, videos), dtype=bool), np.zeros(videos), np.zeros(videos, dtype=np.int64))
    for day in range(world.size.days):
        yield live_a_day(world, state, day)
        state.popularity = world.rules.popularity_kept * state.popularity + state.plays_today
        state.plays_today = np.zeros(videos, dtype=np.int64)


def live_a_day(world: World, state: State, day: int) -> Columns:
    user, planned, continued, nth = plan_requests(world, state.rng, day)
    chunk = max(1, CHUNK_CELLS // world.size.videos)
    parts = []
    for n in range(int(nth.max(initial=-1)) + 1):
        rows = np.flatnonzero(nth == n)
        for at in range(0, len(rows), chunk):
            here = rows[at:at + chunk]
            free = state.busy_until[user[here]] + state.rng.integers(2_000_000, 20_000_000, len(here))
            parts.append(serve(world, state, day, user[here], np.maximum(planned[here], free), continued[here]))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def plan_requests(world: World, rng: np.random.Generator, day: int) -> tuple[np.ndarray, ...]:
    """A day's requests by user and time: user row, wished time, whether it continues a session, number in the day."""
    start = world.size.start_us + day * DAY_US
    weekend = (start // DAY_US + 3) % 7 >= 5
    rate = world.users.activity * world.rules.sessions_per_day * (1.3 if weekend else 1.0)
    user = np.repeat(np.arange(world.size.users), np.minimum(rng.poisson(rate), MAX_REQUESTS_A_DAY))
    local_hour = rng.choice(24, len(user), p=HOURS / HOURS.sum()) - UTC_OFFSET_HOURS[world.users.country[user]]
    time = start + local_hour % 24 * HOUR_US + rng.integers(0, HOUR_US, len(user))
    joined = world.users.joined_at
    newcomer = np.flatnonzero((joined > start) & (joined < start + DAY_US))
    user, time = np.append(user, newcomer), np.append(time, joined[newcomer] + 60_000_000)
    user, time = user[time > joined[user]], time[time > joined[user]]
    length = rng.geometric(1 / world.rules.requests_per_session, len(user))
    continued = np.arange(length.sum()) != np.repeat(np.cumsum(length) - length, length)
    user, time = np.repeat(user, length), np.repeat(time, length)
    order = np.lexsort((continued, time, user))
    user, time, continued = user[order], time[order], continued[order]
    nth = np.arange(len(user)) - np.searchsorted(user, user)
    kept = nth < MAX_REQUESTS_A_DAY
    return user[kept], time[kept], continued[kept], nth[kept]


def taste_on(world: World, day: int, user: np.ndarray) -> np.ndarray:
    """(n, 24) float32: true tastes on a day, counted from 0."""
    return on_grid(world.users.taste[user] + day / 35 * world.users.drift[user])


def momentum(world: World, last_played: np.ndarray) -> np.ndarray:
    """(n, 24) float32: what the last video played (row, -1 = none) adds to the taste."""
    shift = np.zeros((len(last_played), world.videos.vector.shape[1]), dtype=np.float32)
    known = np.flatnonzero(last_played >= 0)
    shift[known, world.follows[world.videos.categories[last_played[known], 0]]] = world.rules.follow_taste
    return shift


def freshness(world: World, video: np.ndarray | slice, time_us: np.ndarray | int) -> np.ndarray:
    age_days = np.maximum(time_us - world.videos.published_at[video], 0) / DAY_US
    return np.exp(-age_days / world.rules.fresh_days)


def show_policy(world: World, state: State, day: int, user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """q, (n, V) float32: chance of each video to be drawn first. Rows (requests) sum to 1; 0 = may not be shown."""
    rules, videos = world.rules, world.videos
    fresh = freshness(world, slice(None), world.size.start_us + day * DAY_US)
    worth = (rules.quality_weight * videos.quality + rules.fresh_weight * fresh).astype(np.float32)
    guessed = taste_on(world, day, user) + world.users.guess_error[user] + momentum(world, state.last_played[user])
    # einsum, not @: at this size the threads of a BLAS cost more than they bring.
    affinity = np.einsum("nd,dv->nv", guessed, np.ascontiguousarray(videos.vector.T))
    guess = affinity + worth + np.float32(rules.guess_next_episode) * state.due[user]
    may = (videos.arrived_at <= time[:, None]) & (time[:, None] < videos.removed_at - TAKEDOWN_NOTICE_US)
    wanted = np.where(state.played[user], np.float32(rules.seen_show), np.float32(1)) * may
    guess = np.exp(np.float32(rules.guess_sharpness) * (guess - guess.max(axis=1, keepdims=True))) * wanted
    popular = (state.popularity + 2 * np.exp(worth)).astype(np.float32) * wanted
    q = np.zeros_like(guess)
    for share, weight in ((rules.guess_share, guess), (rules.popular_share, popular), (rules.uniform_share, may)):
        q += weight * (share / weight.sum(axis=1, dtype=np.float64)[:, None]).astype(np.float32)
    return q


def draw(rng: np.random.Generator, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SHOWN_MAX distinct videos per row of q, drawn one after another, and the chance of each given those before it.

    Returns (n, 12) int64 and (n, 12) float64. An exponential race per row is such a draw for all places at once.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        finish = np.where(q > 0, rng.standard_exponential(q.shape, dtype=np.float32) / q, np.float32(np.inf))
    first = np.argpartition(finish, SHOWN_MAX, axis=1)[:, :SHOWN_MAX]
    order = np.argsort(np.take_along_axis(finish, first, axis=1), axis=1, kind="stable")
    video = np.take_along_axis(first, order, axis=1)
    chance = np.take_along_axis(q, video, axis=1).astype(np.float64)
    return video, np.minimum(chance / (1 - (np.cumsum(chance, axis=1) - chance)), 1)


def play_logit(world: World, state: State, requests: Requests, place: int) -> tuple[np.ndarray, np.ndarray]:
    """The true rule: logit of P(play | shown) of what stands at `place` of each request, and the affinity in it."""
    rules, videos, user, video = world.rules, world.videos, requests.user, requests.video[:, place]
    taste = requests.taste + momentum(world, state.last_played[user])
    affinity = np.einsum("nd,nd->n", taste, videos.vector[video]).astype(np.float64)
    logit = (rules.play_bias + affinity
             + rules.quality_weight * videos.quality[video]
             + rules.fresh_weight * freshness(world, video, requests.time)
             - rules.position_bias * np.log1p(place)
             + rules.next_episode_bonus * state.due[user, video]
             - rules.seen_penalty * state.played[user, video])
    return logit, affinity


def serve(world: World, state: State, day: int, user: np.ndarray, time: np.ndarray, continued: np.ndarray) -> Columns:
    """One request of each of n distinct users: draws the lists, then all walk down theirs; updates the state."""
    rng, n = state.rng, len(user)
    video, propensity = draw(rng, show_policy(world, state, day, user, time))
    requests = Requests(
        user, time, continued, number=state.requests + np.arange(n), length=rng.integers(SHOWN_MIN, SHOWN_MAX + 1, n),
        video=video, propensity=propensity, taste=taste_on(world, day, user), chance=rng.random((n, SHOWN_MAX, 3)),
        noise=rng.normal(0, 0.8, (n, SHOWN_MAX)), clock=time.copy())
    parts = [part for place in range(SHOWN_MAX) for part in walk(world, state, requests, place)]
    state.requests += n
    state.busy_until[user] = requests.clock
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def walk(world: World, state: State, requests: Requests, place: int) -> list[Columns]:
    """What happens at one place of every list, in part for the next place: plays, reactions, time passing."""
    video, (luck, reaction, pause) = requests.video[:, place], requests.chance[:, place].T
    listed = (place < requests.length) & (requests.propensity[:, place] > 0)
    logit, affinity = play_logit(world, state, requests, place)
    plays = listed & (luck < logistic(logit))
    share = logistic(0.2 + 0.7 * affinity + requests.noise[:, place])
    watch_ms = np.maximum(300, (share * world.videos.duration_ms[video]).astype(np.int64))
    requests.clock += np.where(plays, watch_ms * 1000, 0) + 700_000 + (pause * 900_000).astype(np.int64)
    follow_up(world, state, requests.user[plays], video[plays])
    none = np.full(len(video), NULL)
    return [_events(requests, place, *event) for event in (
        (IMPRESSION, listed, requests.time, none),
        (PLAY, plays, requests.clock, watch_ms),
        (LIKE, plays & (reaction < logistic(-5.5 + 0.5 * affinity + 2.5 * share)), requests.clock + 300_000, none),
        (SHARE, plays & (pause < logistic(-7 + 0.5 * affinity + 2 * share)), requests.clock + 500_000, none),
        (NOT_INTERESTED, listed & ~plays & (reaction < logistic(-4 - 0.9 * affinity)), requests.clock, none))]


def _events(requests: Requests, place: int, kind: int, happens: np.ndarray, time: np.ndarray,
            watch_ms: np.ndarray) -> Columns:
    here = np.flatnonzero(happens)
    shown, nan = kind == IMPRESSION, np.full(len(here), np.nan)
    return {
        "user": requests.user[here], "video": requests.video[here, place], "event_type": np.full(len(here), kind),
        "event_time": time[here], "watch_ms": watch_ms[here], "position": np.full(len(here), place if shown else NULL),
        "request": requests.number[here], "propensity": requests.propensity[here, place] if shown else nan,
        "continued": requests.continued[here]}


def follow_up(world: World, state: State, user: np.ndarray, video: np.ndarray) -> None:
    """What a play leaves behind: this video is played, and the next episode of its series is due."""
    state.played[user, video] = True
    state.due[user, video] = False
    state.last_played[user] = video
    episode = world.videos.next_episode[video]
    continues = (episode >= 0) & ~state.played[user, episode]
    state.due[user[continues], episode[continues]] = True
    np.add.at(state.plays_today, video, 1)


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
