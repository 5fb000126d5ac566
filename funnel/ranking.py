"""What the ranker sees of a candidate, and what its answers are worth."""

from dataclasses import dataclass

import numpy as np

from funnel.candidates import Candidates
from funnel.night import Night, Users


@dataclass(frozen=True)
class Value:
    """What a team wants from a watch: play · (1 + sum of weight · head) − not_interested · its weight.

    Heads other than play are probabilities (or fractions) given a play; a head that the model lacks counts nothing.
    """

    completion: float = 0.5
    like: float = 0.3
    share: float = 0.3
    not_interested: float = 1.0


def value(heads: dict[str, np.ndarray], weights: Value = Value()) -> np.ndarray:
    """f32[N]: the worth of each candidate from calibrated heads f32[N]."""
    bonus = sum((getattr(weights, name) * heads[name] for name in ("completion", "like", "share") if name in heads),
                start=np.float32(1))
    worth = heads["play"] * bonus
    if "not_interested" in heads:
        worth = worth - weights.not_interested * heads["not_interested"]
    return np.asarray(worth, np.float32)


FEATURE_NAMES: tuple[str, ...] = ()


def ranking_features(night: Night, users: Users, candidates: Candidates) -> np.ndarray:
    """f32[N, len(FEATURE_NAMES)], C-ordered, one row per candidate."""
    raise NotImplementedError
