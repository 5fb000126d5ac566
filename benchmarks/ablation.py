"""What each part of the funnel is worth: the same log and the same retrieval model, the funnel fitted without that part.

    python -m benchmarks.ablation --simulated --users 5000
    python -m benchmarks.ablation FOLDER --preset movielens

Without a source: it brings no candidates and its scores are hidden, in the lists that the ranker learns from and in those
that are judged. Without a group of features: the ranker sees zeros. Without a head: the declared value leaves it out.
Judged as `quality.py` judges its last time split; differences are paired. Seconds are processor time of one thread:
fit, to make the training lists and fit the ranker; list, for a thousand users. The last line is one JSON object.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks import quality_log as logs
from benchmarks.quality_log import Split
from benchmarks.quality_moments import last_cut
from funnel import ragged
from funnel.affinity import CREATOR_NAMES, affinity_names
from funnel.candidates import CandidateRules
from funnel.lists import FunnelRules, funnel_rules, ranked_lists
from funnel.neighbours import Neighbours, neighbours
from funnel.night import Users, load_users, take_users
from funnel.ranking import FEATURE_NAMES, Features, Value
from funnel.rerank import ListRules
from funnel.users import index_in
from funnel.view_features import MANY
from jobs import build
from jobs.command import say
from lake import lineage, snapshot
from lake.dates import midnight_us
from training import (
    evaluation,
    fitting,
    label_days,
    label_lists,
    lists,
    metrics,
    needs,
    neighbour_choice,
    ranker,
    response,
    settings,
)
from training.bundle import Bundle
from training.fitted import FittedRetrieval
from training.response import FittedResponse
from training.sequences import pieces

METRICS = ("ndcg@10", "recall@100")
SOURCES = ("retrieval", "explained", "lately", "co_watched", "followed", "creator", "fresh", "popular", "explore")
VALUE, RULES = Value(), ListRules()
NO_RULES = ListRules(per_creator=evaluation.LENGTH, per_category=evaluation.LENGTH, exploration_share=0.0, fresh_boost=1.0)
AFFINITY = {*affinity_names(), *CREATOR_NAMES}


def columns_of(source: str) -> list[str]:
    """The ranker's columns that a source fills."""
    own = {f"{source}_{kind}" for kind in ("score", "share", "share_now", "gap", "nearness_of_rank")} | {f"found_{source}"}
    return [name for name in FEATURE_NAMES if name in own - AFFINITY]


def view_columns(view: str) -> list[str]:
    return [f"{view}_{name}" for name in MANY]


OF_SOURCES = [column for source in SOURCES for column in columns_of(source)]
GROUPS = {
    "scores and shares of sources": [name for name in OF_SOURCES if name.endswith(("_score", "_share", "_share_now", "_gap"))],
    "ranks in sources, and found by": [name for name in OF_SOURCES if name.startswith("found_")
                                       or name.endswith("_nearness_of_rank")],
    "popularity and age": ["log_plays_all", "log_plays_7d", "log_decayed_plays", "popularity_place", "trend",
                           "log_age_days", "fresh", "log_country_plays", "popularity_place_now"],
    "video view": view_columns("video"), "creator view": view_columns("creator"), "user view": view_columns("user"),
    "habits of the user": ["log_play_count", "log_hours_since_play", "liked_share"],
    "affinity to category and creator": sorted(AFFINITY),
    "durations": ["log_duration_s", "duration_unknown", "duration_distance", "mean_log_duration_s"],
}


@dataclass(frozen=True)
class Part:
    """What is taken away. without: sources; hidden: columns of the ranker; ranked: False for retrieval's own order; again:
    added to the random seeds, to tell what is worth something from what another fit would have changed as well."""

    without: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    value: Value = VALUE
    answers: bool = True
    rules: ListRules = RULES
    ranked: bool = True
    again: int = 0


@dataclass(frozen=True, eq=False)
class Ready:
    """What every variant shares: the material of a date, both retrieval fits, and everything known at that date."""

    material: fitting.Material
    earlier: FittedRetrieval
    final: FittedRetrieval
    answers: FittedResponse | None
    users: Users
    near: Neighbours


def parts() -> dict[str, Part]:
    """Every variant by name, the whole funnel first."""
    found = {"the whole funnel": Part()} | {f"nothing, other seeds {again}": Part(again=again) for again in (1, 2, 3)}
    found |= {f"source: {name}": Part(without=(name,), hidden=tuple(columns_of(name))) for name in SOURCES}
    found |= {f"features: {name}": Part(hidden=tuple(columns)) for name, columns in GROUPS.items()}
    found |= {f"head: {each.name}": Part(value=replace(VALUE, **{each.name: 0.0})) for each in fields(Value)}
    found["all heads but play"] = Part(answers=False)
    found["diversity, exploration, fresh boost"] = Part(rules=NO_RULES)
    found["ranker (order of the retrieval score)"] = Part(ranked=False)
    others = tuple(name for name in SOURCES if name != "retrieval")
    found["ranker, heads, rules and every source but retrieval"] = Part(without=others, ranked=False, answers=False, rules=NO_RULES)
    return found


def main() -> None:
    chosen = parse()
    split = landed(chosen, Path(chosen.scratch or tempfile.mkdtemp(prefix="nightreel-ablation-")))
    ready = prepared(split.as_of)
    say(f"ablation: {len(split.user):,} plays, {len(split.user_ids):,} users, {len(split.video_ids):,} videos, "
        f"{len(split.judged):,} judged")
    whole, told = None, {}
    for name, part in parts().items():
        if name != "the whole funnel" and not any(name.startswith(each) for each in chosen.only):
            continue
        values, fit_s, list_s = variant(ready, split, part)
        whole = whole or values
        told[name] = {"fit_s": round(fit_s, 1), "list_s": round(list_s, 2)} | {
            metric: [round(float(values[metric].mean()), 4),
                     *(round(each, 4) for each in metrics.interval(whole[metric] - values[metric]))] for metric in METRICS}
        say(f"ablation: without {name}: {told[name]}")
    print(json.dumps(told))


def parse() -> argparse.Namespace:
    found = logs.arguments("python -m benchmarks.ablation", __doc__.splitlines()[0], users=5_000)
    found.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="only parts whose names begin so")
    found.add_argument("--scratch", help="where the home is made (default: a new folder); one that is there is used again")
    return logs.parsed(found)


def landed(chosen: argparse.Namespace, scratch: Path) -> Split:
    """The log in a home of its own, cut at the last day of quality.py's time split."""
    home, as_of, until, plays = last_cut(chosen.folder, chosen.preset, chosen.users, scratch)
    build.main([*build.BUILT, "--as-of", str(as_of)])
    return logs.timed("time_split", home, as_of, until, plays)


def prepared(as_of: date) -> Ready:
    """Retrieval before the label days and at the date, the other heads, and whose lists are judged."""
    material = fitting.load(as_of)
    users, days = material.users, label_days.choose(material.users, as_of, needs.HOLDOUT_DAYS)
    build.build_feature_snapshots(days.nights(as_of))
    before = label_days.cut_at(users, midnight_us(days.start(as_of)))
    plan = settings.retrieval_settings(len(users.video_ids), users.size, len(material.videos.video_ids))
    earlier, final = (fitting.fit_retrieval(each, material.videos, plan, "retrieval", None,
                                            lambda epoch: say(f"ablation: {epoch}")) for each in (before, users))
    rows = snapshot.read(lineage.resolve("training_examples", as_of), columns=response.TABLE_COLUMNS)
    answers = response.fit(response.of_table(rows), settings.RankerSettings(), None, lambda _: None)
    known = load_users(as_of)
    rules = neighbour_choice.choose(material.night, users, days)
    return Ready(material, earlier, final, answers, known, neighbours(material.night, known, rules))


def variant(ready: Ready, split: Split, part: Part) -> tuple[dict[str, np.ndarray], float, float]:
    """Values per judged user, seconds to fit the ranker, seconds to list a thousand users."""
    begun = time.process_time()
    play = fitted(ready, part) if part.ranked else ranker.by_retrieval(settings.RankerSettings())
    model = Bundle(ready.final, play, ready.answers if part.answers and part.ranked else None, ready.near.rules)
    made = time.process_time()
    found = listed(ready, split, part, model)
    hits, relevant = metrics.hits_of(found, split.offsets, split.truth), np.diff(split.offsets)
    listed_s = (time.process_time() - made) * 1000 / len(found)
    return {"ndcg@10": metrics.ndcg(hits, relevant, 10), "recall@100": metrics.recall(hits, relevant, 100)}, made - begun, listed_s


def fitted(ready: Ready, part: Part) -> ranker.FittedRanker:
    """The ranker of a variant, on lists of the label days that the variant's sources made."""
    users = ready.material.users
    days = label_days.choose(users, ready.material.as_of, needs.HOLDOUT_DAYS)
    examples = label_lists.make(ready.material.night, users, days, ready.earlier, ready.earlier.settings.seed + part.again,
                                ready.near.rules, without(lists.LIST_RULES, part))
    examples.features[:, places(part)] = 0
    plan = settings.ranker_settings(len(examples.user_ids), days.sparse)
    return ranker.fit(examples, replace(plan, seed=plan.seed + part.again), True, lambda _: None)


def listed(ready: Ready, split: Split, part: Part, model: Bundle) -> np.ndarray:
    """i64[Q, 100]: the variant's lists of the judged users, as places in the split's catalogue."""
    night, usual = ready.material.night, funnel_rules(evaluation.LENGTH)
    rules = FunnelRules(usual.length, without(usual.candidates, part), part.rules, part.value)
    retrieval, hidden = lists.retrieval_of(ready.final, night), places(part)
    rows = index_in(ready.users.user_ids, split.user_ids[split.judged])
    found = np.full((len(rows), evaluation.LENGTH), -1, np.int64)

    def score(features: Features) -> dict[str, np.ndarray]:
        told = model.score(features)
        return {**told, "play": model.score(features.without(hidden))["play"]} if len(hidden) else told

    for piece in pieces(len(rows), evaluation.USERS_AT_ONCE):
        users = take_users(ready.users, rows[piece])
        made = ranked_lists(night, users, ready.near, retrieval, ready.final.user_vectors(users), score, rules)
        row, place = ragged.row_of(made.lists.offsets), ragged.place_in_row(made.lists.offsets)
        video = night.video_ids[made.candidates.video_index[made.lists.chosen]]
        found[piece.start + row, place] = index_in(split.video_ids, video)
    return found


def without(rules: CandidateRules, part: Part) -> CandidateRules:
    return replace(rules, **dict.fromkeys(part.without, 0))


def places(part: Part) -> np.ndarray:
    """i64: the hidden columns."""
    return np.array([FEATURE_NAMES.index(name) for name in part.hidden], np.int64)


if __name__ == "__main__":
    main()
