"""Recompute a published night from the landing area and compare every table with what was released.

    python -m jobs.replay --as-of 2026-02-05 [--release 12]

Works in a scratch lake that holds only the landings that begin before the date and the model that the release pinned:
nothing is retrained and nothing of the live lake is read or changed. Exit 3 when a content hash differs.

Where a user was erased since, what that user did is gone from the landing area but still counted in the released shared
aggregates (views of videos, creators and countries, catalogue, popularity). Everybody's own features are recomputed and
compared; shared aggregates are read from the release, and the report says so.
"""

import argparse
import sys
from collections import defaultdict
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from features.views import VIEWS
from jobs import scratch
from jobs.command import day, run, say
from lake import snapshot, writing
from lake.hashing import rows_hash
from lake.refusal import Refusal
from lake.snapshot import Manifest, Plan

OWN = tuple(view.name for view in VIEWS if view.entity == "user_id")
SHARED = ("feature_snapshots", "catalogue", "popularity")


def main(arguments: list[str]) -> None:
    """Parse, copy the landings, run the night's commands, compare."""
    parser = argparse.ArgumentParser(prog="python -m jobs.replay", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day)
    parser.add_argument("--release", type=int, help="the release to compare with; default: the newest of that date")
    options = parser.parse_args(arguments)
    as_of, released = options.as_of, scratch.released(options.as_of, options.release)
    erased = any("succeeds" in manifest.inputs for manifest in released.values())
    kept = {name: snapshot.read(released[name]) for name in SHARED} if erased else {}
    with scratch.scratch_lake(as_of, released, scratch.copy_landings):
        replayed = scratch.features(as_of)
        if erased:
            replayed |= {name: _in_place_of(replayed[name], rows) for name, rows in kept.items()}
        replayed |= scratch.lists(as_of, released["recommendations"].parameters, "model" in released)
        shown = snapshot.read(replayed["recommendations"]) if erased else None
    if erased:
        _say_lists(shown, snapshot.read(released["recommendations"]))
        del replayed["recommendations"]
    _compare(as_of, released, replayed, SHARED if erased else ())


def _in_place_of(recomputed: Manifest, kept: pa.Table) -> Manifest:
    """Put the rows of a release in the place of recomputed ones, after everybody's own rows were compared. Refusal when
    those differ."""
    if recomputed.table == "feature_snapshots":
        own = [rows_hash(rows.filter(pc.is_in(rows["view"], pa.array(OWN))).sort_by(
            [(name, "ascending") for name in ("view", "entity_id", "attribute")]))
            for rows in (snapshot.read(recomputed), kept)]
        if own[0] != own[1]:
            raise Refusal(f"the night of {recomputed.as_of} does not replay: users' own features came out otherwise")
        say(f"  equal    users' own features {own[0][:16]}")
    snapshot.remove(recomputed)
    plan = Plan(recomputed.table, recomputed.as_of, recomputed.parameters, recomputed.inputs)
    with writing.attempt_at(plan) as attempt:
        return writing.commit(attempt, [writing.write_part(plan.table, attempt.folder, kept, "part-00000")], [])


def _say_lists(replayed: pa.Table, released: pa.Table) -> None:
    """How many lists came out as released. Not all need to: who watched what together counted the erased user too."""
    ours, theirs = _rows_by_user(replayed), _rows_by_user(released)
    equal = sum(ours.get(user) == rows for user, rows in theirs.items())
    say(f"  {equal:,} of {len(theirs):,} lists, recomputed with the release's shared aggregates, are the released ones")


def _rows_by_user(lists: pa.Table) -> dict[int, list[dict]]:
    found: dict[int, list[dict]] = defaultdict(list)
    for row in lists.sort_by([("user_id", "ascending"), ("rank", "ascending")]).to_pylist():
        found[row["user_id"]].append(row)
    return found


def _compare(as_of: date, released: dict[str, Manifest], replayed: dict[str, Manifest], kept: tuple[str, ...]) -> None:
    compared = sorted(set(released) & set(replayed))
    differs = [name for name in compared if released[name].content_hash != replayed[name].content_hash]
    for name in compared:
        how = "differs" if name in differs else "kept" if name in kept else "equal"
        say(f"  {how:8} {name:18} {released[name].content_hash[:16]}")
    if differs:
        raise Refusal(f"the night of {as_of} does not replay: {', '.join(differs)} came out otherwise than released; "
                      f"compare library versions and processor with those that made it")
    if kept:
        say(f"replay {as_of}: a user was erased since. Own features and histories recomputed from the landing area are "
            f"equal to the release; shared aggregates ({', '.join(kept)}) were read from it")
        return
    say(f"replay {as_of}: {len(compared)} tables recomputed from the landing area, all equal to the release")


if __name__ == "__main__":
    sys.exit(run(main))
