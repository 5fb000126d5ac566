"""Users per second of the whole nightly funnel, beside FAISS flat's exact top-200 of the same vectors and users alone.

    python -m benchmarks.scoring_speed [--users 131072 262144] [--videos 100000] [--width 64]

Two seeded lakes that differ in users alone (`scoring_world.py`). On each, the public commands `jobs.ann_index` and
`jobs.recommendations` (lists of 50, the best of three) in processes of their own, starts included, and then FAISS:
`IndexFlatIP` over the index's vectors, asked for the 200 best videos of 4,096 users' vectors in one call, on as many
threads as the machine has cores, the best of five. What more users cost comes from the difference of the two lakes, some
26 s of two cores, which a second of waiting in one run spoils little; a million users are estimated by it. Neighbours are
computed from at most five million plays, those of 125,000 users here: a further user of a lake below that pays for them
too. It takes seven minutes, and three with --users 16384 65536. The last line is one JSON object.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measured import Measured, measured

ROOT = Path(__file__).resolve().parent.parent
ASKED, TURNS, LISTED, MANY, FAISS_USERS = 200, 5, 3, 1_000_000, 4_096


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, nargs=2, default=[131_072, 262_144], help="of the two lakes, fewer first")
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=64, help="of the model's vectors; the night adds 5 numbers (64)")
    parser.add_argument("--scratch", help="where the lakes are made (default: a new folder); those there are used again")
    parser.add_argument("--faiss", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.faiss:
        print(json.dumps(faiss_alone()))
        return
    scratch = Path(chosen.scratch or tempfile.mkdtemp(prefix="nightreel-scoring-"))
    nights = [night(scratch, users, chosen.videos, chosen.width) for users in chosen.users]
    print(json.dumps(told(*nights)))


def night(scratch: Path, users: int, videos: int, width: int) -> dict:
    """One lake, listed: seconds and memory of the job, and FAISS's users per second beside it."""
    home = scratch / f"{users}-{videos}-{width}"
    if not home.exists():
        run(home, "benchmarks.scoring_world", str(users), "--videos", str(videos), "--width", str(width))
    as_of = ("--as-of", "2026-02-05")
    index = run(home, "jobs.ann_index", *as_of)
    lists = min((listed(home, *as_of) for _ in range(LISTED)), key=lambda found: found.seconds)
    found = json.loads(run(home, "benchmarks.scoring_speed", "--faiss").said.splitlines()[-1])
    print(f"  {users:,} users: index {index.seconds:.1f} s, lists {lists.seconds:.1f} s and {lists.peak_gb:.2f} GB, "
          f"FAISS {found['faiss_users_per_s']:,.0f} users/s", flush=True)
    return {"users": users, "index_s": round(index.seconds, 1), "lists_s": round(lists.seconds, 1),
            "lists_gb": round(lists.peak_gb, 2), **found}


def listed(home: Path, *as_of: str) -> Measured:
    """The lists of the lake, made anew."""
    shutil.rmtree(home / "lake" / "recommendations", ignore_errors=True)
    return run(home, "jobs.recommendations", *as_of)


def run(home: Path, module: str, *arguments: str) -> Measured:
    return measured([sys.executable, "-m", module, *arguments], {"NIGHTREEL_HOME": str(home), "PYTHONPATH": str(ROOT),
                                                                 "PYTHONWARNINGS": "ignore"})


def told(few: dict, many: dict) -> dict:
    """The last line. users_per_s: of the users that the larger lake has more. ratio: to FAISS alone, the bar is 0.5.
    million_s: a million users' jobs, starts included."""
    more = many["users"] - few["users"]
    users_per_s = more / (many["lists_s"] - few["lists_s"])
    alone = max(few["faiss_users_per_s"], many["faiss_users_per_s"])
    million_s = many["index_s"] + many["lists_s"] + (MANY - many["users"]) / users_per_s
    return {"users_per_s": round(users_per_s), "faiss_users_per_s": round(alone), "ratio": round(users_per_s / alone, 3),
            "million_s": round(million_s), "kb_per_more_user": round(1e6 * (many["lists_gb"] - few["lists_gb"]) / more, 1),
            "threads": os.cpu_count(), "nights": [few, many]}


def faiss_alone() -> dict:
    """Exact search alone, over the vectors and for the first users of the lake at NIGHTREEL_HOME."""
    import faiss
    import numpy as np

    from benchmarks.scoring_world import AS_OF
    from funnel.night import load_histories, load_night, take_users
    from lake import lineage
    from publishing import ann_index
    from training import bundle

    model = lineage.model_of(AS_OF)
    index = ann_index.load(lineage.resolve("ann_index", AS_OF), load_night(AS_OF).video_ids, model)
    people = load_histories(AS_OF)
    users = bundle.load(model).user_vectors(take_users(people, np.arange(min(people.size, FAISS_USERS))))
    flat = faiss.IndexFlatIP(index.d)
    flat.add(np.ascontiguousarray(ann_index.retrieval_of(index).video_vectors))
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    seconds = []
    for _ in range(TURNS):
        begun = time.perf_counter()
        flat.search(users, ASKED)
        seconds.append(time.perf_counter() - begun)
    return {"faiss_users_per_s": round(len(users) / min(seconds), 1), "dimension": index.d}


if __name__ == "__main__":
    main()
