"""Making logits mean what they say: a straight line on the logit (Platt), fitted on examples that were held out.

Source: Platt, "Probabilistic Outputs for Support Vector Machines", 1999. Two numbers per head cannot overfit a small
log and keep the order of scores, ties included, where isotonic regression would make plateaus.
"""

from dataclasses import dataclass

import numpy as np

STEPS = 50
RIDGE = 1e-3
BINS = 10
IDENTITY = np.array([1.0, 0.0])


@dataclass(frozen=True)
class Calibration:
    """probability = logistic(slope · logit + bias); slope is positive."""

    slope: float = 1.0
    bias: float = 0.0

    def __call__(self, logit: np.ndarray) -> np.ndarray:
        """f32, the shape of logit."""
        return _logistic(self.slope * logit + self.bias).astype(np.float32)


def fit(logit: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> Calibration:
    """Weighted maximum likelihood by damped Newton steps, drawn slightly towards (1, 0). truth: f32[n] in [0, 1].

    The identity where nothing was held out or everything is alike.
    """
    if not len(logit) or not 0 < float((truth * weight).sum()) < float(weight.sum()):
        return Calibration()
    x, total = np.stack([logit, np.ones_like(logit)], 1).astype(np.float64), float(weight.sum())
    rate = float((truth * weight).sum()) / total
    found = np.array([0.0, np.log(rate / (1 - rate))])
    for _ in range(STEPS):
        p = _logistic(x @ found)
        gradient = x.T @ (weight * (p - truth)) / total + RIDGE * (found - IDENTITY)
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x / total + RIDGE * np.eye(2)
        step, before = np.linalg.solve(curve, gradient), _cost(x, truth, weight, found)
        while _cost(x, truth, weight, found - step) > before and np.abs(step).max() > 1e-8:
            step = step / 2
        found = found - step
        if np.abs(step).max() < 1e-7:
            break
    return Calibration(max(float(found[0]), 0.05), float(found[1]))


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def _cost(x: np.ndarray, truth: np.ndarray, weight: np.ndarray, line: np.ndarray) -> float:
    z = np.clip(x @ line, -30, 30)
    surprise = (weight * (np.logaddexp(0, z) - truth * z)).sum() / weight.sum()
    return float(surprise + RIDGE / 2 * ((line - IDENTITY) ** 2).sum())


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
