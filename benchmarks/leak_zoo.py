"""Plant leaks in real stages and see which task of the DAGs goes red; then look for alarms on clean worlds.

    make leak-zoo        or        python -m benchmarks.leak_zoo [--worlds 20] [--only NAME] [--jobs 2]

Every leak is a patch to the source of one stage (benchmarks/leaks.py), applied in a process of its own that then runs
the commands of the training DAG and of the nightly DAG on a small simulated service, in their order. The checks know
nothing of the zoo. "faked" is what the training would have reported: NDCG@10 with the leak minus without, same seed.
Exit 1 when a leak goes unseen or a clean world raises an alarm. The last line is one JSON object.
"""

import argparse
import inspect
import json
import math
import multiprocessing
import os
import shutil
import sys
import tempfile
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import import_module

from benchmarks.leaks import LEAKS, Leak, Patch
from jobs import ann_index, audit, build, land, recommendations, release, simulate, train, training_tables
from jobs.small_lake import inside
from lake.lineage import Missing
from lake.refusal import Refusal
from lake.snapshot import Damaged
from training import judging, session
from validation.gate import Refused

USERS, VIDEOS, DAYS = 60, 100, 38
START = date(2026, 1, 1)
TRAINED, NIGHT = START + timedelta(days=32), START + timedelta(days=DAYS)
TABLES = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity")
CHECKS = (Refusal, Refused, Missing, Damaged)


@dataclass(frozen=True)
class Told:
    """What became of one world: task → why it went red, and NDCG@10 of the judged model, NaN without a training."""

    red: dict[str, str]
    ndcg: float


def plant(leak: Leak) -> None:
    """Change the stages of a leak in place, for everybody who imported them. LookupError when a source says something
    else than the leak expects."""
    of_function: dict[tuple[str, str], list[Patch]] = defaultdict(list)
    for patch in leak.patches:
        of_function[patch.module, patch.function].append(patch)
    for (module, name), patches in of_function.items():
        function = getattr(import_module(module), name)
        made = dict(function.__globals__)
        exec(compile(_changed(function, patches), inspect.getsourcefile(function), "exec"), made)
        function.__code__ = made[name].__code__


def _changed(function: Callable, patches: list[Patch]) -> str:
    source = textwrap.dedent(inspect.getsource(function))
    for patch in patches:
        if source.count(patch.old) != 1:
            raise LookupError(f"{patch.module}.{patch.function} has {source.count(patch.old)} times {patch.old!r}; the "
                              "stage has changed, so mend this leak in benchmarks/leaks.py")
        source = source.replace(patch.old, patch.new)
    return source


def tasks(day: date, with_training: bool) -> list[tuple[str, Callable[[], None]]]:
    """The commands of the two DAGs, in their order, as far as they can refuse."""
    as_of = ["--as-of", str(day)]
    training = [("training.build", lambda: training_tables.main(as_of)),
                ("training.audit", lambda: audit.main([*as_of, "--training"]))] if with_training else []
    return [*training,
            ("nightly.features", lambda: build.main([*TABLES, *as_of])),
            ("nightly.ann_index", lambda: ann_index.main(as_of)),
            ("nightly.recommendations", lambda: recommendations.main(as_of)),
            ("nightly.audit", lambda: audit.main(as_of)),
            ("nightly.release", lambda: release.main(as_of))]


def visit(home: str, leak: Leak | None, day: date, with_training: bool) -> Told:
    """Run every task in a lake, even after one went red: the zoo wants to know all that would have seen it."""
    import torch

    torch.set_num_threads(1)
    red = {}
    if leak:
        plant(leak)
    with inside(home):
        for name, task in tasks(day, with_training):
            try:
                task()
            except CHECKS as error:
                red[name] = str(error)
        ndcg = _judged(day) if with_training else math.nan
    return Told(red, ndcg)


def _judged(day: date) -> float:
    """NDCG@10 that the training would have reported, of a model of two passes; NaN when it left nobody to judge."""
    material, _, judged, _ = session.judged_fit(day, 7, lambda line: None, lambda epoch: None, 2)
    value = judging.judge(material, judged, day).told["ndcg@10"]["model"]["value"]
    return math.nan if value is None else value


def make_world(folder: str, seed: int) -> None:
    """Simulate and land a small service."""
    with inside(f"{folder}/var"):
        simulate.main([f"{folder}/raw", "--users", str(USERS), "--videos", str(VIDEOS), "--days", str(DAYS),
                       "--seed", str(seed), "--start", str(START)])
        land.main([f"{folder}/raw", "--preset", "nightreel"])


def prepare(folder: str) -> None:
    """The zoo's own world, with a model that was trained and promoted honestly."""
    make_world(folder, 1)
    with inside(f"{folder}/var"):
        training_tables.main(["--as-of", str(TRAINED)])
        train.main(["--as-of", str(TRAINED)])


def leaked(arguments: tuple[str, Leak | None]) -> Told:
    base, leak = arguments
    with tempfile.TemporaryDirectory(prefix="nightreel-zoo-") as folder:
        shutil.copytree(f"{base}/var", f"{folder}/var", copy_function=os.link)
        return visit(f"{folder}/var", leak, NIGHT, True)


def clean(seed: int) -> Told:
    with tempfile.TemporaryDirectory(prefix="nightreel-zoo-") as folder:
        make_world(folder, 100 + seed)
        return visit(f"{folder}/var", None, NIGHT - timedelta(days=seed % 4), seed % 4 == 0)


def say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leak_zoo", description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=20, help="clean worlds; every fourth with a training")
    parser.add_argument("--only", help="leaks whose name holds this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worlds at once")
    options = parser.parse_args()
    begun, here = time.monotonic(), multiprocessing.get_context("fork")
    chosen = [leak for leak in LEAKS if not options.only or options.only in leak.name]
    with tempfile.TemporaryDirectory(prefix="nightreel-zoo-") as base:
        maker = here.Process(target=prepare, args=(base,))
        maker.start()
        maker.join()
        if maker.exitcode:
            return 1
        with here.Pool(options.jobs, maxtasksperchild=1) as pool:
            missed = _table(chosen, pool.imap(leaked, [(base, None), *((base, leak) for leak in chosen)]))
            alarms = _worlds(pool.imap(clean, range(options.worlds)))
    seconds = time.monotonic() - begun
    say(f"{len(chosen) - len(missed)} of {len(chosen)} leaks caught, {alarms} alarms on {options.worlds} clean worlds, "
        f"{seconds:.0f} s")
    say(json.dumps({"leaks": len(chosen), "caught": len(chosen) - len(missed), "missed": missed,
                    "worlds": options.worlds, "alarms": alarms, "seconds": round(seconds)}))
    return 1 if missed or alarms else 0


def _table(leaks: list[Leak], told: Iterator[Told]) -> list[str]:
    """Print one line per leak as it comes; the names of those that nothing saw. First comes the honest run."""
    honest = next(told)
    say(f"{'leak':42} {'faked NDCG@10':>14}  tasks that went red: what the first one named")
    say(f"{'none':42} {honest.ndcg:14.4f}  {_first(honest)}")
    missed = ["alarm on the honest run"] if honest.red else []
    for leak, one in zip(leaks, told, strict=True):
        say(f"{leak.name:42} {one.ndcg - honest.ndcg:+14.4f}  {_first(one)}")
        missed += [] if one.red else [leak.name]
    return missed


def _first(told: Told) -> str:
    if not told.red:
        return "nothing"
    why = next(iter(told.red.values())).splitlines()
    named = why[1].strip() if len(why) > 1 else why[0]
    return f"{', '.join(told.red)}: {textwrap.shorten(named, 110)}"


def _worlds(told: Iterator[Told]) -> int:
    alarms = 0
    for number, one in enumerate(told):
        if one.red:
            say(f"alarm on clean world {number}: {_first(one)}")
            alarms += 1
    return alarms


if __name__ == "__main__":
    sys.exit(main())
