"""The retrieval model of Nightreel fitted on a home's tables as of a day, its seconds and its lists after each pass.

    NIGHTREEL_HOME=HOME python benchmarks/training_speed_ours.py DAY USERS.parquet OUT --settings JSON [--lists]

Seconds run from the first byte read to the end of a pass: reading tables, names, sequences, facts of the midnights and
the warm start are in them, imports and listing are not. Prints a JSON line per pass; with --lists, OUT/N.parquet has
user_id, rank from 1, video_id after pass N, by exact search.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from funnel.night import load_histories, load_night
from funnel.users import Users, index_in
from training import evaluation, fitting, loop, settings
from training.fitted import FittedRetrieval
from training.known_videos import known_videos


class Watch:
    """What a fit asks for a metric after each pass: notes the time, lists, and lets the fit go on."""

    def __init__(self, users: Users, asked: np.ndarray, out: Path | None, as_of: date) -> None:
        self.users, self.rows, self.out = users, index_in(users.user_ids, asked), out
        self.night = load_night(as_of) if out else None
        self.idle, self.passes, self.begun = 0.0, 0, 0.0

    def ndcg(self, fitted: FittedRetrieval) -> float:
        """The number of the pass, which always rises."""
        paused = time.perf_counter()
        self.passes += 1
        told = {"pass": self.passes, "seconds": paused - self.begun - self.idle,
                "sequences": int((np.diff(self.users.offsets) > 1).sum())}
        print(json.dumps(told), flush=True)
        if self.night:
            lister = evaluation.retrieval_only(self.night, fitted.video_vectors(self.night), fitted.user_vectors)
            lists = evaluation.lists_of(lister, self.users, self.rows)
            row, rank = np.nonzero(lists >= 0)
            pq.write_table(pa.table({"user_id": self.users.user_ids[self.rows[row]], "rank": (rank + 1).astype(np.int32),
                                     "video_id": self.night.video_ids[lists[row, rank]]}),
                           self.out / f"{self.passes}.parquet")
        self.idle += time.perf_counter() - paused
        return float(self.passes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("as_of", type=date.fromisoformat)
    for name in ("users", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--settings", type=json.loads, default={}, help="threads, and fields of RetrievalSettings")
    parser.add_argument("--lists", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.settings.pop("threads", 1))
    loop.repeatable()
    asked = pq.read_table(chosen.users)["user_id"].to_numpy()
    watch = Watch(load_histories(chosen.as_of), asked, chosen.out if chosen.lists else None, chosen.as_of)
    watch.begun = time.perf_counter()
    users, videos = load_histories(chosen.as_of), known_videos(chosen.as_of)
    plan = settings.retrieval_settings(len(users.video_ids), users.size, len(videos.video_ids))
    fitting.fit_retrieval(users, videos, replace(plan, **chosen.settings), "retrieval", watch, lambda _: None)


if __name__ == "__main__":
    main()
