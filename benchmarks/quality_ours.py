"""The funnel, fitted as of a day on a home's tables, and its lists for some users: a process of its own.

    NIGHTREEL_HOME=HOME python benchmarks/quality_ours.py --as-of DAY --users ASKED.parquet --out LISTS.parquet
        [--lesson EARLIER_HOME NEXT.parquet]

Builds the tables with the jobs' own builders, fits what `jobs.train` refits (everything before the day, no gate), and
lists as `jobs.recommendations` does, with exact search. --lesson is leave-one-out: lists are asked for right after each
user's last known play instead of on DAY, and the ranker learns from the same question asked one play earlier.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from funnel import ragged
from funnel.night import load_users
from funnel.users import Users, index_in, last_play_us
from jobs import build
from jobs.command import say
from lake import lineage
from training import evaluation, fitting, label_days, label_lists, lists, needs, neighbour_choice, settings
from training.bundle import Bundle
from training.fitting import Lesson, Material, Validation
from training.lists import Plays


def fit(as_of: date) -> tuple[Material, Bundle]:
    """Material and bundle as of a day; tables are built where they are missing."""
    build.main([*build.BUILT, "--as-of", str(as_of)])
    material = fitting.load(as_of)
    days = label_days.choose(material.users, as_of, needs.HOLDOUT_DAYS)
    build.build_feature_snapshots(days.nights(as_of))
    begun = time.monotonic()
    made, _ = fitting.fit(material, days, None, None, lambda epoch: say(f"ours {as_of}: {epoch}"))
    say(f"ours {as_of}: fitted on {len(material.users.video_ids):,} plays, {time.monotonic() - begun:.0f} s")
    return material, made


def fit_for_next(as_of: date, earlier_home: str, next_plays: str) -> tuple[Material, Bundle]:
    """Material and bundle as of a day for lists that are asked for right after each user's last play.

    The lists that teach are those of a log without one play more of each user, which is what they are asked: retrieval,
    neighbours, popularity and features know nothing of it, and it is asked for right after the play before it. As for
    `fit`, retrieval is then fitted on everything before the day. next_plays: user_id and video_id of the plays that the
    earlier home lacks.
    """
    def report(epoch: object) -> None:
        say(f"ours {as_of}: {epoch}")

    begun = time.monotonic()
    with home(earlier_home):
        day = date.fromisoformat(lineage.landings("raw_events")[-1]["end"])
        build.main([*build.BUILT, "--as-of", str(day)])
        before, users = fitting.load(day), asked_at_last_play(day)
        plays = plays_after(users, pq.read_table(next_plays))
        torch.set_num_threads(1)
        plan = settings.retrieval_settings(len(users.video_ids), users.size, len(before.videos.video_ids))
        truth = evaluation.truth_of_pairs(before.night, users, plays.row, plays.video_ids, fitting.VALIDATION_USERS)
        judge = Validation(before.night, users, truth) if len(truth.rows) else None
        earlier = fitting.fit_retrieval(users, before.videos, plan, "retrieval before the last plays", judge, report)
        near = neighbour_choice.best(before.night, [(users, plays)])
        examples = lists.make(before.night, users, plays, earlier, plan.seed, near, lists.LIST_RULES, label_lists.MOST_LISTS)
    build.main([*build.BUILT, "--as-of", str(as_of)])
    material = fitting.load(as_of)
    made, _ = fitting.learn(material, Lesson(earlier, near, examples, sparse=True), None, report)
    say(f"ours {as_of}: fitted on {len(material.users.video_ids):,} plays, {time.monotonic() - begun:.0f} s")
    return material, made


@contextmanager
def home(path: str) -> Iterator[None]:
    """Another home for a while."""
    usual, os.environ["NIGHTREEL_HOME"] = os.environ["NIGHTREEL_HOME"], path
    try:
        yield
    finally:
        os.environ["NIGHTREEL_HOME"] = usual


def asked_at_last_play(as_of: date) -> Users:
    """Everyone known as of a day, with features, asking right after their last play."""
    users = load_users(as_of)
    return replace(users, asked_us=last_play_us(users))


def plays_after(users: Users, rows: pa.Table) -> Plays:
    """Plays (user_id, video_id), at most one a user, to predict; of nobody else."""
    row = index_in(users.user_ids, rows["user_id"].to_numpy())
    order = np.argsort(row, kind="stable")[np.count_nonzero(row < 0):]
    return Plays(ragged.offsets_of(np.bincount(row[order], minlength=users.size)), rows["video_id"].to_numpy()[order])


def lists_of(users: Users, material: Material, made: Bundle, user_ids: np.ndarray) -> pa.Table:
    """user_id, rank from 1, video_id of the funnel's first 100 for some of these users."""
    lister = evaluation.funnel(material.night, users, made)
    places = evaluation.lists_of(lister, users, index_in(users.user_ids, user_ids))
    row, rank = np.nonzero(places >= 0)
    return pa.table({"user_id": user_ids[row], "rank": (rank + 1).astype(np.int32),
                     "video_id": material.night.video_ids[places[row, rank]]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=date.fromisoformat)
    parser.add_argument("--users", required=True, help="Parquet with user_id, ascending")
    parser.add_argument("--out", required=True)
    parser.add_argument("--lesson", nargs=2, metavar=("HOME", "PARQUET"),
                        help="ask right after each last play; HOME lacks one play more of each user, PARQUET has those")
    chosen = parser.parse_args()
    material, made = fit_for_next(chosen.as_of, *chosen.lesson) if chosen.lesson else fit(chosen.as_of)
    users = asked_at_last_play(chosen.as_of) if chosen.lesson else load_users(chosen.as_of)
    pq.write_table(lists_of(users, material, made, pq.read_table(chosen.users)["user_id"].to_numpy()), chosen.out)


if __name__ == "__main__":
    main()
