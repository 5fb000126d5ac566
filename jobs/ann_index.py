"""Build the index of a night: vectors of every eligible video by the night's model, with measured recall.

    python -m jobs.ann_index --as-of 2026-02-05

Without a promoted model there is nothing to index: the night publishes its best baseline.
"""

import argparse
import sys
import time

import numpy as np

from funnel.night import NightTables, load_histories, load_night, night_tables
from jobs.command import day, run, say
from lake import lineage, snapshot, writing
from lake.hashing import BUCKETS
from lake.refusal import Refusal
from lake.snapshot import Manifest
from publishing import ann_index
from publishing.ann_index import IndexRules, TooFewFound
from validation import gate


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.ann_index", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day, help="the night, YYYY-MM-DD")
    as_of = parser.parse_args(arguments).as_of
    model = lineage.model_of(as_of)
    if model is None:
        say(f"ann_index {as_of}: model: none, no index")
        return
    plan = lineage.plan("ann_index", as_of)
    found = writing.reuse(plan)
    if found:
        say(f"ann_index {as_of}: {found.extra['ntotal']:,} videos, there already")
        return
    _build(plan, model, IndexRules())


def _build(plan: snapshot.Plan, model: Manifest, rules: IndexRules) -> None:
    from training import bundle

    started = time.monotonic()
    tables = night_tables(plan.as_of)
    night, bundled = load_night(plan.as_of, tables=tables), bundle.load(model)
    vectors = np.ascontiguousarray(bundled.video_vectors(night), np.float32)
    index = ann_index.build(vectors, rules)
    try:
        recall = ann_index.tuned(index, vectors, _user_vectors(tables, bundled, rules), rules)
    except TooFewFound as error:
        raise Refusal(f"ann_index {plan.as_of}: {error}") from error
    facts = {"ntotal": index.ntotal, "recall": round(recall, 6), "recall_at": rules.recall_at,
             "kind": type(index).__name__, "probes": ann_index.probes(index), "dimension": index.d,
             "model": model.identity, "model_as_of": model.as_of.isoformat(),
             "excluded": tables.manifests["catalogue"].rows - index.ntotal}
    checks = gate.judge(plan, {"ntotal": index.ntotal, "recall": recall})
    seconds = time.monotonic() - started
    with writing.attempt_at(plan) as attempt:
        parts = ann_index.save(attempt, index, night.video_ids, model)
        writing.commit(attempt, parts, checks, facts, {"seconds": round(seconds, 3)})
    say(f"ann_index {plan.as_of}: {index.ntotal:,} videos, recall@{rules.recall_at} {recall:.3f}, {seconds:.1f} s")


def _user_vectors(tables: NightTables, bundled: object, rules: IndexRules) -> np.ndarray:
    """f32[Q, d]: vectors of the users of the first buckets, at least `sample_users` where there are so many."""
    found, users = [], 0
    for bucket in range(BUCKETS):
        people = load_histories(tables.as_of, [bucket], tables=tables)
        if people.size:
            found.append(bundled.user_vectors(people))
            users += people.size
        if users >= rules.sample_users:
            break
    return np.concatenate(found) if found else np.zeros((0, 1), np.float32)


if __name__ == "__main__":
    sys.exit(run(main))
