"""The funnel-loss ledger: of everything that was watched on the judged days, which stage lost what was not listed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from funnel import ragged
from funnel.lists import Ranked
from funnel.night import Night
from funnel.rerank import ListRules, Lists, rerank
from funnel.users import Users, index_in, take_users
from lake.hashing import splitmix64
from training.sequences import pieces

# In the order of the funnel. Search is exact when a model is judged; what the index of a night loses is its own recall.
STAGES = ("not_in_catalogue", "seen_before", "not_retrieved", "cut_by_rank", "diversity", "exploration", "listed")
MOST_USERS = 2_000
USERS_AT_ONCE = 512


def account(night: Night, users: Users, plays: pa.Table, ranked: Callable[[Users], Ranked], length: int) -> dict:
    """{"watches": n, "users": n, stage: share} over distinct (user, video) of plays by users with a history, at most
    2,000 of them by hash; shares sum to 1. ranked: the funnel for a batch, with lists of `length`."""
    row = index_in(users.user_ids, plays["user_id"].to_numpy())
    row, video = row[row >= 0], plays["video_id"].to_numpy()[row >= 0]
    known = np.diff(users.offsets)[row] > 0
    row, video = row[known], video[known]
    rows = np.unique(row)
    rows = np.sort(rows[np.argsort(splitmix64(users.user_ids[rows]), kind="stable")[:MOST_USERS]])
    counts, judged = np.zeros(len(STAGES), np.int64), 0
    for piece in pieces(len(rows), USERS_AT_ONCE):
        there = np.isin(row, rows[piece])
        pairs = np.unique(np.stack([np.searchsorted(rows[piece], row[there]), video[there]], axis=1), axis=0)
        batch = take_users(users, rows[piece])
        stage = _stages(night, batch, pairs[:, 0], pairs[:, 1], ranked(batch), length)
        counts, judged = counts + np.bincount(stage, minlength=len(STAGES)), judged + len(pairs)
    shares = {name: round(float(count) / max(judged, 1), 6) for name, count in zip(STAGES, counts, strict=True)}
    return {"watches": judged, "users": len(rows), **shares}


def _stages(night: Night, users: Users, row: np.ndarray, video_ids: np.ndarray, made: Ranked, length: int) -> np.ndarray:
    """i64[n], places in STAGES: for each watch the first stage that lost it."""
    video = night.index_of(video_ids)
    wanted = row * night.size + np.maximum(video, 0)
    seen = night.index_of(users.seen_video_ids)
    watched = np.unique((ragged.row_of(users.seen_offsets) * night.size + seen)[seen >= 0])
    keys = made.candidates.user_index * night.size + made.candidates.video_index
    plain = ListRules(per_creator=length, per_category=length, exploration_share=0.0, fresh_boost=1.0)
    lists = [rerank(night, users, made.candidates, made.worth, length, rules)
             for rules in (plain, replace(ListRules(), exploration_share=0.0))]
    lost = [video < 0, index_in(watched, wanted) >= 0, index_in(keys, wanted) < 0,
            *(~_listed(each, keys, wanted) for each in (*lists, made.lists))]
    found = np.full(len(wanted), STAGES.index("listed"))
    for stage in reversed(range(len(lost))):
        found[lost[stage]] = stage
    found[(video >= 0) & ~lost[1] & _listed(made.lists, keys, wanted)] = STAGES.index("listed")
    return found


def _listed(lists: Lists, keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """bool[n]: whether each wanted key is in a list. keys: of the candidates that lists choose from."""
    return np.isin(wanted, keys[lists.chosen])
