"""One training from start to finish: judged fit, judgement, refit, and the files of the model snapshot."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date

from training import bundle, card, fitting, label_days, loop, model_file, needs
from training.bundle import Bundle
from training.fitting import Chosen, Material
from training.judging import Judgement, judge
from training.label_days import LabelDays
from training.progress import Epoch, Report

FEWEST_PLAYS, FEWEST_USERS = 200, 10


class TooLittle(Exception):
    """The log holds too little before the held-out days to fit anything; the message says how much."""


@dataclass(frozen=True)
class Outcome:
    """What is to be committed: files, name → bytes, and the facts for the manifest's `extra`."""

    files: dict[str, bytes]
    facts: dict


def run(as_of: date, holdout_days: int, say: Callable[[str], None]) -> Outcome:
    """Train, judge and, when the gate opens, refit. lineage.Missing names what to build before; TooLittle."""
    epochs: list[Epoch] = []

    def report(epoch: Epoch) -> None:
        epochs.append(epoch)
        say(f"train {as_of}: {epoch}")

    material, days, judged, chosen = judged_fit(as_of, holdout_days, say, report)
    say(f"train {as_of}: judging on [{material.as_of}, {as_of})")
    judgement = judge(material, judged, as_of)
    refitted = _refit(as_of, days, chosen, judged, holdout_days, report, say) if judgement.verdict.promoted else None
    return _outcome(material, days, judged, refitted, judgement, epochs)


def judged_fit(as_of: date, holdout_days: int, say: Callable[[str], None], report: Report,
               passes: int | None = None) -> tuple[Material, LabelDays, Bundle, Chosen]:
    """The fit that is judged: on everything before the held-out days, which it must know nothing of. passes: as in
    `fitting.fit`."""
    loop.repeatable()
    since, _ = needs.dates_of(as_of, holdout_days)
    material = fitting.load(since)
    if len(material.users.video_ids) < FEWEST_PLAYS or material.users.size < FEWEST_USERS:
        raise TooLittle(f"{len(material.users.video_ids):,} plays of {material.users.size:,} users had arrived before "
                        f"{since}; a model needs {FEWEST_PLAYS:,} plays of {FEWEST_USERS} users. Train on a later day, "
                        "or land more of the log; until then nights publish the best baseline")
    days = label_days.choose(material.users, since, holdout_days)
    say(f"train {as_of}: {len(material.users.video_ids):,} plays of {material.users.size:,} users before {since}, "
        f"{material.night.size:,} videos; lists of the last {days.days} days")
    judged, chosen = fitting.fit(material, days, None, None, report, passes)
    return material, days, judged, chosen


def _refit(as_of: date, days: LabelDays, chosen: Chosen, judged: Bundle, holdout_days: int,
           report: Callable[[Epoch], None], say: Callable[[str], None]) -> Bundle:
    """The same fit on everything before as_of. Where the label days are the held-out days, the judged retrieval model
    is the one that was fitted before them."""
    say(f"train {as_of}: passed; refitting on everything before {as_of}")
    earlier = judged.retrieval if days.days == holdout_days and not days.sparse else None

    def again(epoch: Epoch) -> None:
        report(replace(epoch, stage=f"refit {epoch.stage}"))

    return fitting.fit(fitting.load(as_of), days, chosen, earlier, again)[0]


def _outcome(material: Material, days: LabelDays, judged: Bundle, refitted: Bundle | None, judgement: Judgement,
             epochs: list[Epoch]) -> Outcome:
    files, told = bundle.files(judged, "judged_")
    more, registered = bundle.files(refitted) if refitted else ({}, None)
    verdict, used = judgement.verdict, refitted or judged
    heads = ["play", *(used.response.network.heads if used.response else ())]
    facts = {
        "promoted": verdict.promoted, "reason": verdict.reason, "underpowered": verdict.underpowered,
        "best_baseline": verdict.best_baseline, "judged": judgement.told, "notes": judgement.notes,
        "judged_since": material.as_of.isoformat(), "heads": heads,
        "reliability": {"play": used.ranker.reliability} | (used.response.reliability if used.response else {}),
        "users": material.users.size, "plays": len(material.users.video_ids), "videos": len(material.videos.video_ids),
        "label_days": days.days, "nights": len(days.nights(material.as_of)),
        "retrieval": asdict(used.retrieval.settings), "ranker": asdict(used.ranker.settings),
        "neighbours": asdict(used.neighbours),
        "epochs": [{"stage": epoch.stage, "number": epoch.number, "values": epoch.values} for epoch in epochs]}
    described = model_file.describe(registered, told, {"facts": {"metrics": metrics_of(facts)}})
    return Outcome({**files, **more, model_file.NAME: described}, facts)


def metrics_of(facts: dict) -> dict[str, object]:
    """What the promotion log and MLflow show: our metrics, each baseline's NDCG@10, how many were judged."""
    told = facts["judged"]
    found: dict[str, object] = {name: told[name]["model"]["value"] for name in card.SHOWN}
    found |= {name: told[name]["model"] for name in ("coverage@10", "novelty@10")}
    found |= {f"ndcg@10 {name}": each["value"] for name, each in told["ndcg@10"].items() if name != "model"}
    return {**{name: value for name, value in found.items() if value is not None},
            "users": told["users"], "best_baseline": facts["best_baseline"]}
