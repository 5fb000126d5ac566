"""What a ranker reads of one feature view: log counts and smoothed rates, derived by name from the window sums."""

import numpy as np

from funnel.feature_matrix import COLUMN

PRIOR = 10.0
FEW = ("log_plays_7d", "log_plays_28d", "play_rate_28d", "completion_28d", "like_rate_28d", "not_interested_rate_28d")
MANY = ("log_plays_1d", "log_plays_7d", "log_plays_28d", "log_impressions_7d", "log_impressions_28d", "play_rate_7d",
        "play_rate_28d", "completion_7d", "completion_28d", "like_rate_28d", "share_rate_28d",
        "not_interested_rate_28d", "log_watch_s_per_play_28d")
_COUNTS = {"plays": "play_count", "impressions": "impression_count"}


def derive(values: np.ndarray, names: tuple[str, ...] = MANY) -> np.ndarray:
    """f32[n, len(names)] from window sums f32[n, len(FEATURES)].

    log_X: log(1 + count). play_rate: plays / (impressions or plays, whichever is more, + 10). completion: watched part
    of all that was played, of a measured length; like, share and not_interested rates: per (plays + 10), at most 1.
    """
    made = np.empty((len(values), len(names)), np.float32)
    for place, name in enumerate(names):
        made[:, place] = _one(values, name)
    return made


def _one(values: np.ndarray, name: str) -> np.ndarray:
    kind, _, window = name.rpartition("_")

    def sums(measure: str) -> np.ndarray:
        return values[:, COLUMN[f"{measure}_{window}"]]

    plays = sums("play_count")
    if kind in ("log_plays", "log_impressions"):
        return np.log1p(sums(_COUNTS[kind.removeprefix("log_")]))
    if kind == "play_rate":
        return plays / (np.maximum(sums("impression_count"), plays) + PRIOR)
    if kind == "completion":
        return np.minimum(sums("watch_ms_sum") / (sums("duration_ms_sum") + 1000 * PRIOR), 1)
    if kind == "log_watch_s_per_play":
        return np.log1p(sums("watch_ms_sum") / 1000 / (plays + 1))
    return np.minimum(sums(f"{kind.removesuffix('_rate')}_count") / (plays + PRIOR), 1)
