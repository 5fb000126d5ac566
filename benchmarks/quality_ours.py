"""The funnel, fitted as of a day on a home's tables, and its lists for some users: a process of its own.

    NIGHTREEL_HOME=HOME python benchmarks/quality_ours.py --as-of DAY --users ASKED.parquet --out LISTS.parquet [--next]

Builds the tables with the jobs' own builders, fits what `jobs.train` refits (everything before the day, no gate), and
lists as `jobs.recommendations` does, with exact search. --next: asked for right after each user's last known play, which
is what leave-one-out asks, instead of on DAY.
"""

import argparse
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs import build
from jobs.command import say


def fit(as_of: date) -> tuple:
    """Material and bundle as of a day; tables are built where they are missing."""
    from training import fitting, label_days, needs

    build.main([*build.BUILT, "--as-of", str(as_of)])
    material = fitting.load(as_of)
    days = label_days.choose(material.users, as_of, needs.HOLDOUT_DAYS)
    build.build_feature_snapshots(days.nights(as_of))
    begun = time.monotonic()
    made, _ = fitting.fit(material, days, None, None, lambda epoch: say(f"ours {as_of}: {epoch}"))
    say(f"ours {as_of}: fitted on {len(material.users.video_ids):,} plays, {time.monotonic() - begun:.0f} s")
    return material, made


def lists(as_of: date, material: object, made: object, user_ids: np.ndarray, at_last_play: bool) -> pa.Table:
    """user_id, rank from 1, video_id of the funnel's first 100 for these users."""
    from funnel.night import load_users, take_users
    from funnel.users import index_in, last_play_us
    from training import evaluation
    from training.sequences import pieces

    users, night = load_users(as_of), material.night
    users = replace(users, asked_us=last_play_us(users)) if at_last_play else users
    lister = evaluation.funnel(night, users, made)
    rows = index_in(users.user_ids, user_ids)
    found = [lister(take_users(users, rows[piece])) for piece in pieces(len(rows), evaluation.USERS_AT_ONCE)]
    places = np.concatenate([np.zeros((0, evaluation.LENGTH), np.int64), *found])
    row, rank = np.nonzero(places >= 0)
    return pa.table({"user_id": user_ids[row], "rank": (rank + 1).astype(np.int32),
                     "video_id": night.video_ids[places[row, rank]]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=date.fromisoformat)
    parser.add_argument("--users", required=True, help="Parquet with user_id, ascending")
    parser.add_argument("--out", required=True)
    parser.add_argument("--next", action="store_true", help="ask at each user's last play")
    chosen = parser.parse_args()
    material, made = fit(chosen.as_of)
    asked = pq.read_table(chosen.users)["user_id"].to_numpy()
    pq.write_table(lists(chosen.as_of, material, made, asked, chosen.next), chosen.out)


if __name__ == "__main__":
    main()
