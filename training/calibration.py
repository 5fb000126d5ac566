"""Making logits mean what they say: a straight line on the logit (Platt), fitted on examples that were held out.

Source: Platt, "Probabilistic Outputs for Support Vector Machines", 1999. Two numbers per head cannot overfit a small
log and keep the order of scores, ties included, where isotonic regression would make plateaus.
"""

from dataclasses import dataclass

import numpy as np

STEPS = 50
RIDGE = 1e-3
BINS = 10


@dataclass(frozen=True)
class Calibration:
    """probability = logistic(slope · logit + bias); slope is positive."""

    slope: float = 1.0
    bias: float = 0.0

    def __call__(self, logit: np.ndarray) -> np.ndarray:
        """f32, the shape of logit."""
        return (1 / (1 + np.exp(-np.clip(self.slope * logit + self.bias, -30, 30)))).astype(np.float32)


def fit(logit: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> Calibration:
    """Weighted maximum likelihood by Newton steps, drawn slightly towards (1, 0). truth: f32[n] in [0, 1].

    The identity where nothing was held out or everything is alike.
    """
    if not len(logit) or not 0 < float((truth * weight).sum()) < float(weight.sum()):
        return Calibration()
    x, total = np.stack([logit, np.ones_like(logit)], 1).astype(np.float64), float(weight.sum())
    wanted, found = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ found, -30, 30)))
        gradient = x.T @ (weight * (p - truth)) / total + RIDGE * (found - wanted)
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x / total + RIDGE * np.eye(2)
        step = np.linalg.solve(curve, gradient)
        found = found - np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    return Calibration(max(float(found[0]), 0.05), float(found[1]))


def reliability(predicted: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> list[dict]:
    """Up to ten bins of about equal weight: mean prediction, observed rate and weight of each."""
    order = np.argsort(predicted, kind="stable")
    place = np.cumsum(weight[order]) / max(float(weight.sum()), 1e-9)
    bins = np.minimum((place * BINS).astype(np.int64), BINS - 1)
    told = []
    for each in np.unique(bins):
        rows = order[bins == each]
        mass = float(weight[rows].sum())
        told.append({"predicted": float((predicted[rows] * weight[rows]).sum() / mass),
                     "observed": float((truth[rows] * weight[rows]).sum() / mass), "weight": mass})
    return told
