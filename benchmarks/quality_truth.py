"""What only a simulated world can tell: regret against the best possible list, and whether off-policy estimates hold.

The value of a list is the expected number of plays of its first ten, were it shown; the rules of the world say the
probability of each (simulation/world.py). IPS and SNIPS estimate, from what the service logged (propensities at
the top place), what showing one of a list's first ten at the top would bring; the world says what it truly brings.
Source: Swaminathan and Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NeurIPS 2015.
"""

import json
import os
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.quality_log import Split
from funnel.users import index_in
from lake import storage
from lake.dates import DAY_US
from simulation.days import freshness, momentum, taste_on
from simulation.world import Size, World, make_world
from training.metrics import interval

SHOWN = 10
USERS = 2_000


def world_of(home: str) -> World:
    """The world that was simulated into a home, made again from its parameters."""
    os.environ["NIGHTREEL_HOME"] = home
    told = json.loads(storage.read_bytes(storage.join("truth", "world.json")))["parameters"]
    told = {name: value for name, value in told.items() if name != "version"}
    return make_world(Size(**{**told, "start": date.fromisoformat(told["start"])}))


@dataclass(frozen=True, eq=False)
class Past:
    """Every play of the log: keys i64[N] ascending, user · V + video (rows of the world), and when it was first played;
    by user and time: user, video, time_us."""

    keys: np.ndarray
    first_us: np.ndarray
    user: np.ndarray
    video: np.ndarray
    time_us: np.ndarray


def past_of(world: World, events: pa.Table) -> Past:
    plays = events.filter(pc.equal(events["event_type"], "play"))
    user, video = plays["user_id"].to_numpy() - 1, plays["video_id"].to_numpy() - 1
    time_us = plays["event_time"].cast(pa.int64()).to_numpy()
    keys = user * world.size.videos + video
    order = np.lexsort((time_us, keys))
    first = np.append(True, np.diff(keys[order]) > 0)
    by_user = np.lexsort((time_us, user))
    return Past(keys[order][first], time_us[order][first], user[by_user], video[by_user], time_us[by_user])


def logits(world: World, past: Past, user: np.ndarray, time_us: np.ndarray, video: np.ndarray) -> np.ndarray:
    """f64[n, m]: the logit of a play at the top place of videos i64[n, m] by users i64[n] at times i64[n]."""
    rules, videos = world.rules, world.videos
    place = np.searchsorted(past.user * 2.0**52 + (past.time_us - world.size.start_us),
                            user * 2.0**52 + (time_us - world.size.start_us)) - 1
    had = (place >= 0) & (past.user[np.maximum(place, 0)] == user)
    last = np.where(had, past.video[np.maximum(place, 0)], -1)
    taste = np.empty((len(user), videos.vector.shape[1]), np.float32)
    day = (time_us - world.size.start_us) // DAY_US
    for each in np.unique(day):
        taste[day == each] = taste_on(world, int(each), user[day == each])
    before = np.full(world.size.videos, -1)
    before[videos.next_episode[videos.next_episode >= 0]] = np.flatnonzero(videos.next_episode >= 0)

    def played(which: np.ndarray) -> np.ndarray:
        at = index_in(past.keys, user[:, None] * world.size.videos + which)
        return (which >= 0) & (at >= 0) & (past.first_us[np.maximum(at, 0)] < time_us[:, None])

    seen = played(video)
    return (rules.play_bias + np.einsum("nd,nmd->nm", taste + momentum(world, last), videos.vector[video])
            + rules.quality_weight * videos.quality[video]
            + rules.fresh_weight * freshness(world, video, time_us[:, None])
            + rules.next_episode_bonus * (played(before[video]) & ~seen) - rules.seen_penalty * seen)


def regret(world: World, past: Past, split: Split, systems: dict[str, np.ndarray]) -> dict[str, dict]:
    """system → {value, regret, low, high}: expected plays of the first ten, and 1 - value / best possible, for at most
    2,000 judged users at the split's midnight. Best: the ten unseen videos that are likeliest to be played."""
    rows = np.unique(np.linspace(0, len(split.judged) - 1, USERS).astype(np.int64))
    user, catalogue = split.user_ids[split.judged[rows]] - 1, split.video_ids - 1
    falls = world.rules.position_bias * np.log1p(np.arange(SHOWN))
    now = np.full(len(user), split.now_us)
    best = np.empty(len(user))
    for part in np.array_split(np.arange(len(user)), max(1, len(user) // 50)):
        every = np.broadcast_to(catalogue, (len(part), len(catalogue)))
        told = logits(world, past, user[part], now[part], every)
        at = index_in(past.keys, user[part][:, None] * world.size.videos + every)
        told[(at >= 0) & (past.first_us[np.maximum(at, 0)] < split.now_us)] = -np.inf
        best[part] = _logistic(-np.sort(-told, axis=1)[:, :SHOWN] - falls).sum(1)
    found = {}
    for name, lists in systems.items():
        first = lists[rows][:, :SHOWN]
        chance = _logistic(logits(world, past, user, now, catalogue[np.maximum(first, 0)]) - falls) * (first >= 0)
        mean, low, high = interval(1 - chance.sum(1) / best)
        found[name] = {"value": round(float(chance.sum(1).mean()), 4), "regret": round(mean, 4),
                       "low": round(low, 4), "high": round(high, 4)}
    return found


def off_policy(world: World, past: Past, split: Split, events: pa.Table, users: np.ndarray, lists: np.ndarray,
               end_us: int) -> dict[str, object]:
    """Truth, IPS and SNIPS with 95 % bootstrap intervals over requests in [split, end), of
    showing one of each list's first ten, any alike, at the top. users: places in split.user_ids, drawn without looking
    at what they did; lists i64[n, 100]."""
    shown = events.filter(pc.and_(pc.equal(events["event_type"], "impression"), pc.equal(events["position"], 0)))
    time_us = shown["event_time"].cast(pa.int64()).to_numpy()
    row = index_in(split.user_ids[users], shown["user_id"].to_numpy())
    kept = (row >= 0) & (time_us >= split.now_us) & (time_us < end_us)
    row, time_us, shown = row[kept], time_us[kept], shown.filter(pa.array(kept))
    request, video = np.array(shown["request_id"].to_pylist()), shown["video_id"].to_numpy()
    plays = events.filter(pc.equal(events["event_type"], "play"))
    pairs = set(zip(plays["request_id"].to_pylist(), plays["video_id"].to_pylist(), strict=True))
    played = np.array([(one, int(what)) in pairs for one, what in zip(request, video, strict=True)], float)
    first = split.video_ids[np.maximum(lists[row][:, :SHOWN], 0)] - 1
    there = (lists[row][:, :SHOWN] >= 0) & (world.videos.removed_at[first] > time_us[:, None])
    share = there / np.maximum(there.sum(1, keepdims=True), 1)
    truth = (share * _logistic(logits(world, past, split.user_ids[users][row] - 1, time_us, first))).sum(1)
    weight = ((first == (video - 1)[:, None]) * share).sum(1) / shown["propensity"].to_numpy()
    draws = np.random.default_rng(0).integers(0, len(weight), (2000, len(weight))) if len(weight) else np.zeros((1, 0), int)
    ips, snips = (weight * played)[draws].mean(1), (weight * played)[draws].sum(1) / np.maximum(weight[draws].sum(1), 1e-9)
    return {"requests": len(weight), "matched": int((weight > 0).sum()), "truth": round(float(truth.mean()), 4),
            "ips": round(float((weight * played).mean()), 4), "ips_interval": _middle(ips),
            "snips": round(float((weight * played).sum() / max(weight.sum(), 1e-9)), 4), "snips_interval": _middle(snips)}


def _middle(values: np.ndarray) -> list[float]:
    return [round(float(each), 4) for each in np.quantile(values, [0.025, 0.975])]


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
