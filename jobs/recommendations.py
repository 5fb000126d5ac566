"""Compute the lists of a night, for every user with a history and as a fallback for everyone else.

    python -m jobs.recommendations --as-of 2026-02-05 [--k 50] [--active-days 28]
"""

import argparse
import sys
from datetime import date

from funnel.night import BASELINES, load_night, night_tables
from jobs import ann_index
from jobs.build import commit
from jobs.command import day, run, say
from lake import lineage, snapshot, storage, writing
from lake.tables import table
from lake.writing import Attempt
from publishing.baseline import fallback_rows
from publishing.nightly_lists import Task, groups, rows_for, shared_by_workers, write_lists
from publishing.release_file import LONGEST_LIST

USERS_PER_PART = 20_000
_DEFAULTS = table("recommendations").parameters


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.recommendations", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day, help="the night, YYYY-MM-DD")
    parser.add_argument("--k", type=int, default=_DEFAULTS["k"], help="rows per list")
    parser.add_argument("--active-days", type=int, default=_DEFAULTS["active_days"],
                        help="only users who played in so many days before the night; 0: everyone with a play")
    chosen = parser.parse_args(arguments)
    if not 1 <= chosen.k <= LONGEST_LIST:
        parser.error(f"--k {chosen.k} is no list length; take 1 to {LONGEST_LIST}")
    if chosen.active_days < 0:
        parser.error(f"--active-days {chosen.active_days}: give days as a number from 0 (everyone) on")
    if lineage.model_of(chosen.as_of) and not snapshot.find(lineage.plan("ann_index", chosen.as_of)):
        ann_index.main(["--as-of", str(chosen.as_of)])  # a video was blocked since the night's index was made
    _fallback(chosen.as_of, chosen.k)
    _lists(chosen.as_of, chosen.k, chosen.active_days)


def _fallback(as_of: date, k: int) -> None:
    plan = lineage.plan("fallback", as_of, k=k)

    def write(attempt: Attempt) -> tuple[list[dict], dict]:
        rows = fallback_rows(load_night(as_of), rows_for(k))
        return [writing.write_part("fallback", attempt.folder, rows, "part-00000")], {}

    if snapshot.find(plan):
        say(f"fallback {as_of}: there already")
    commit(plan, write)


def _lists(as_of: date, k: int, active_days: int) -> None:
    plan = lineage.plan("recommendations", as_of, k=k, active_days=active_days)
    if writing.reuse(plan):
        say(f"recommendations {as_of}: there already")
        return
    manifest = commit(plan, lambda attempt: _write(attempt, k, active_days))
    if manifest.extra["short_users"]:
        say(f"recommendations {as_of}: {manifest.extra['short_users']:,} of {manifest.extra['users']:,} users have "
            f"fewer than {k} videos left to see")


def _write(attempt: Attempt, k: int, active_days: int) -> tuple[list[dict], dict]:
    from features.frames import broadcast, per_bucket
    from jobs.spark_context import begin, spark_context

    begin("nightreel", "publishing.nightly_lists")  # starts while the neighbours are computed
    as_of = attempt.plan.as_of
    model = lineage.model_of(as_of)
    task = Task(storage.home(), night_tables(as_of), model, lineage.resolve("ann_index", as_of) if model else None,
                best_baseline(as_of), attempt.folder, k, active_days)
    made, context = shared_by_workers(task), spark_context("nightreel")
    parts = _parts(task, context.defaultParallelism if context else 1)
    with broadcast(context, made) as shared:
        accounts = per_bucket(context, lambda part, buckets: write_lists(task, shared(), part, buckets), parts)
    counts = {name: sum(account[name] for account in accounts) for name in ("users", "short_users")}
    return accounts, counts | {"model": model.identity if model else "none", "k": k,
                               "baseline": "" if model else task.baseline}


def _parts(task: Task, cores: int) -> int:
    """How many tasks and files: a power of two, one per core or more of large tables, never less than a whole group."""
    wanted = max(1, task.tables.manifests["histories"].rows // USERS_PER_PART, cores)
    return min(1 << (wanted - 1).bit_length(), groups(task.tables))


def best_baseline(as_of: date) -> str:
    """The popularity that the newest judgement up to a date found best; the first where nothing was judged."""
    named = lineage.judged_baseline(as_of)
    return named if named in BASELINES else BASELINES[0]


if __name__ == "__main__":
    sys.exit(run(main))
