"""The promotion gate: whether a judged funnel may become the model of the nights.

Better than every baseline: the lower end of the paired 95 % bootstrap interval of NDCG@10 is above 0. Not worse than
the champion: that lower end is not below -2 % of the champion's score. With few judged users intervals say nothing, so
point estimates decide, marked `underpowered`. NaN never promotes, and an older training never follows a newer one.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np

from training.metrics import interval

METRIC = "ndcg@10"
FEWEST_USERS = 200
CHAMPION_TOLERANCE = 0.02


@dataclass(frozen=True)
class Verdict:
    """promoted: whether it passed. reason: one sentence for the log. best_baseline: the strongest by mean NDCG@10.

    differences: name of each rival → [mean, low, high] of ours minus theirs, per user and paired.
    """

    promoted: bool
    underpowered: bool
    reason: str
    best_baseline: str
    differences: dict[str, tuple[float, float, float]]


def decide(as_of: date, ours: np.ndarray, baselines: dict[str, np.ndarray], champion: np.ndarray | None,
           last_promotion: date | None) -> Verdict:
    """Judge per-user NDCG@10, f64[U], of the funnel against those of its rivals over the same users in the same order.

    champion: of the model that is live, scored with weights that have not seen the judged days; None when there is
    none. last_promotion: the newest as_of ever promoted.
    """
    rivals = baselines | ({"champion": champion} if champion is not None else {})
    differences = {name: interval(ours - theirs) for name, theirs in rivals.items()}
    best = max(sorted(baselines), key=lambda name: float(np.nan_to_num(baselines[name].mean(), nan=-1.0))) \
        if len(ours) else next(iter(baselines))
    underpowered = len(ours) < FEWEST_USERS
    obstacle = _obstacle(as_of, ours, rivals, differences, underpowered, last_promotion)
    if obstacle:
        return Verdict(False, underpowered, obstacle, best, differences)
    said = f"NDCG@10 {ours.mean():.4f} over {len(ours)} users; best baseline {best} {baselines[best].mean():.4f}"
    return Verdict(True, underpowered, said + (" (underpowered: point estimates)" if underpowered else ""), best,
                   differences)


def _obstacle(as_of: date, ours: np.ndarray, rivals: dict[str, np.ndarray],
              differences: dict[str, tuple[float, float, float]], underpowered: bool,
              last_promotion: date | None) -> str:
    """Why it may not be promoted; empty when it may."""
    if last_promotion is not None and as_of < last_promotion:
        return f"a model trained as of {last_promotion} was promoted; an older training never follows a newer one"
    if not len(ours):
        return "nothing to judge: nobody watched an unseen video in the judged days"
    if not all(np.isfinite(scores).all() for scores in (ours, *rivals.values())):
        return "NDCG@10 is not a number for some user"
    for name, (mean, low, _) in differences.items():
        worst = mean if underpowered else low
        if name == "champion":
            bound = -CHAMPION_TOLERANCE * float(rivals[name].mean())
            if worst < bound:
                return f"worse than the champion: difference at least {worst:.4f}, allowed {bound:.4f}"
        elif not worst > 0:
            return f"not better than {name}: the difference {mean:.4f} may be as low as {worst:.4f}"
    return ""
