"""What training examples cost, in passes over the data: 28 days of labels joined with the snapshots that were live.

    python -m benchmarks.training_examples [--users 30000]     # about eight minutes

One pass reads every event, label and feature snapshot once and writes the examples once. Both are timed five times in
turn, in this process, with the memory settings of Spark's workers and without Spark's start; the least of each counts. The
last line is one JSON object.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import date
from io import StringIO

from jobs.spark_context import WORKERS_MEMORY

AS_OF, ROUNDS = date(2026, 2, 5), 5


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def prepare(folder: str, users: int) -> list[date]:
    """A service of 35 days with everything that examples are made from; the dates of the snapshots."""
    from jobs import build, land, simulate
    from lake import lineage

    simulate.main([f"{folder}/raw", "--users", str(users), "--videos", "3000", "--days", "35", "--seed", "3"])
    land.main([f"{folder}/raw", "--preset", "nightreel"])
    build.main(["events", "tiles", "labels", "training_examples", "--as-of", AS_OF.isoformat()])
    return [date.fromisoformat(day) for day in lineage.resolve("labels", AS_OF).extra["snapshot_days"]]


def one_pass(days: list[date], folder: str) -> Callable[[], None]:
    """Reads the inputs once and writes the examples once, in as many files."""
    import pyarrow as pa

    from lake import lineage, snapshot, writing
    from lake.hashing import BUCKETS

    made = lineage.resolve("training_examples", AS_OF)
    parts = len(made.files)  # each in the order that it is written in: nothing is left to sort
    examples = [pa.concat_tables([snapshot.read(made, buckets=[bucket]) for bucket in range(part, BUCKETS, parts)]
                                 ).combine_chunks() for part in range(parts)]

    def work() -> None:
        inputs = [*lineage.chunks("events", AS_OF), lineage.resolve("labels", AS_OF),
                  *(lineage.resolve("feature_snapshots", day) for day in days)]
        for manifest in inputs:
            snapshot.read(manifest)
        for part, rows in enumerate(examples):
            writing.write_part("training_examples", f"{folder}/pass", rows, f"part-{part:05d}")

    return work


def build_again() -> None:
    from jobs import build

    with redirect_stdout(StringIO()):
        build.build_training_examples([AS_OF])


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_examples", description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=30_000)
    options = parser.parse_args()
    if not WORKERS_MEMORY.items() <= os.environ.items():  # read once, when a process begins
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.training_examples", *sys.argv[1:]],
                  os.environ | WORKERS_MEMORY)
    with tempfile.TemporaryDirectory(prefix="training-examples-") as folder:
        os.environ |= {"NIGHTREEL_HOME": folder, "SPARK_MASTER": "in-process"}
        from lake import lineage, storage

        with redirect_stdout(StringIO()):
            days = prepare(folder, options.users)
        manifest, work = lineage.resolve("training_examples", AS_OF), one_pass(days, folder)
        passes, builds = [], []
        for _ in range(ROUNDS):
            passes.append(seconds(work))
            storage.delete_folder(manifest.folder)
            builds.append(seconds(build_again))
    print(f"{manifest.rows:,} labels, {len(days)} snapshots: examples {min(builds):.2f} s, one pass {min(passes):.2f} s")
    print(json.dumps({"labels": manifest.rows, "snapshots": len(days), "examples_s": round(min(builds), 3),
                      "pass_s": round(min(passes), 3), "passes": round(min(builds) / min(passes), 3)}))


if __name__ == "__main__":
    main()
