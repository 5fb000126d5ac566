"""The judgement of a training: its funnel, the baselines and the champion on days that none of them has seen."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from funnel.night import BASELINES, load_users
from funnel.users import Users
from lake import lineage, numbered_log
from lake.plays import read_plays
from training import bundle, evaluation, gate, ledger, model_file
from training.bundle import Bundle
from training.evaluation import CHAMPION, OURS
from training.fitting import Material
from training.gate import Verdict


@dataclass(frozen=True)
class Judgement:
    """verdict: the gate's. told: `evaluation.summary`. notes: what a reader should know beside them."""

    verdict: Verdict
    told: dict
    notes: list[str]


def judge(material: Material, ours: Bundle, as_of: date) -> Judgement:
    """Judge a funnel fitted as of material.as_of on [material.as_of, as_of), as known at as_of."""
    night, since = material.night, material.as_of
    users = judged_users(material)
    plays = read_plays(as_of, since, as_of)
    truth = evaluation.truth_of(night, users, plays)
    systems = {OURS: evaluation.funnel(night, users, ours)}
    systems |= {name: evaluation.popular(night, name) for name in BASELINES}
    rival, notes = champion(as_of, since)
    if rival is not None:
        systems[CHAMPION] = evaluation.funnel(night, users, rival)
    judged = evaluation.judge(night, users, truth, systems)
    scores = judged.per_user[gate.METRIC]
    verdict = gate.decide(as_of, scores[OURS], {name: scores[name] for name in BASELINES}, scores.get(CHAMPION),
                          newest_promotion())
    told = evaluation.summary(judged) | {"ledger": _ledger(material, users, plays, ours)}
    return Judgement(verdict, told, notes)


def _ledger(material: Material, users: Users, plays: pa.Table, model: Bundle) -> dict:
    made = evaluation.ranked_funnel(material.night, users, model)
    return ledger.account(material.night, users, plays, made, evaluation.LENGTH)


def judged_users(material: Material) -> Users:
    """Everyone with a history, as known when the held-out days began."""
    return load_users(material.as_of)


def lists(material: Material, model: Bundle) -> np.ndarray:
    """i64[U, LENGTH]: the lists that would be judged, of every user."""
    users = judged_users(material)
    return evaluation.lists_of(evaluation.funnel(material.night, users, model), users, np.arange(users.size))


def champion(as_of: date, since: date) -> tuple[Bundle | None, list[str]]:
    """The model that is live at as_of, with weights that have seen nothing from `since` on, and why there is none."""
    manifest = lineage.model_of(as_of)
    if manifest is None:
        return None, []
    try:
        return bundle.load(manifest, judged=manifest.as_of > since), []
    except model_file.Outdated as error:
        return None, [f"not compared with the champion: {error}"]


def newest_promotion() -> date | None:
    """The training date of the newest promotion, whatever the night."""
    return max((date.fromisoformat(entry["as_of"]) for entry in numbered_log.entries("promotions")
                if entry["decision"] == "promoted"), default=None)
