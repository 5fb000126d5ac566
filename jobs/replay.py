"""Recompute a published night from the landing area and compare every table with what was released.

    python -m jobs.replay --as-of 2026-02-05 [--release 12]

Works in a scratch lake that holds only the landings that begin before the date and the model that the release pinned:
nothing is retrained and nothing of the live lake is read or changed. Exit 3 when a content hash differs.
"""

import argparse
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from pyarrow import fs

from jobs import ann_index, build, recommendations
from jobs.command import Refusal, day, run, say
from lake import lineage, numbered_log, storage
from lake.hashing import canonical_json
from lake.snapshot import Manifest
from publishing import live

TABLES = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity")


def main(arguments: list[str]) -> None:
    """Parse, copy the landings, run the night's commands, compare."""
    parser = argparse.ArgumentParser(prog="python -m jobs.replay", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day)
    parser.add_argument("--release", type=int, help="the release to compare with; default: the newest of that date")
    options = parser.parse_args(arguments)
    released = _released(options.as_of, options.release)
    with scratch_lake(options.as_of, released):
        replayed = _night(options.as_of, released["recommendations"].parameters, "model" in released)
    _compare(options.as_of, released, replayed)


def _released(as_of: date, number: int | None) -> dict[str, Manifest]:
    numbers = [entry["number"] for entry in numbered_log.entries("releases")
               if entry["as_of"] == as_of.isoformat() and number in (None, entry["number"])]
    if not numbers:
        raise Refusal(f"no release {number or ''} of {as_of}; `python -m jobs.releases` lists them")
    return live.load_release(max(numbers)).manifests


@contextmanager
def scratch_lake(as_of: date, released: dict[str, Manifest]) -> Iterator[None]:
    """A lake of its own with the landings before a date, the model (or the baseline in its place) and the blocks that
    the release was made with; removed afterwards."""
    model, lists = released.get("model"), released["recommendations"]
    home, before = storage.home(), os.environ.get("NIGHTREEL_HOME")
    local = storage.is_local(home)
    scratch = tempfile.mkdtemp(prefix="nightreel-replay-") if local else f"{home}/replay/{uuid.uuid4().hex}"
    _copy_landings(as_of, scratch)
    judged = {"as_of": as_of.isoformat(), "decision": "rejected", "metrics": {"best_baseline": lists.extra["baseline"]}}
    if model is not None:
        _copy(model.folder, scratch)
        judged = {"as_of": model.as_of.isoformat(), "decision": "promoted", "identity": model.identity,
                  "content_hash": model.content_hash}
    storage.create_if_absent(f"{scratch}/log/promotions/000001.json", canonical_json(judged))
    known = next((number for number, hidden in lineage.blocks_known(as_of) if hidden == lists.inputs["blocked"]), 0)
    for number in range(1, known + 1):
        _copy_file(f"{numbered_log.folder('blocks')}/{number:06d}.json", scratch)
    os.environ["NIGHTREEL_HOME"] = scratch
    try:
        yield
    finally:
        os.environ.pop("NIGHTREEL_HOME") if before is None else os.environ.update(NIGHTREEL_HOME=before)
        shutil.rmtree(scratch) if local else storage.delete_folder(scratch)


def _copy_landings(as_of: date, scratch: str) -> None:
    """Log entries whose events begin before the date, with the raw snapshots that they name."""
    for number in numbered_log.numbers("landing"):
        entry = numbered_log.read("landing", number)
        if any(date.fromisoformat(landed["start"]) < as_of for landed in entry["tables"]):
            _copy_file(f"{numbered_log.folder('landing')}/{number:06d}.json", scratch)
            for landed in entry["tables"]:
                _copy(lineage.landed(landed).folder, scratch)


def _copy(folder: str, scratch: str) -> None:
    store, inner = storage.filesystem(folder)
    target = f"{scratch}/{folder.removeprefix(storage.home()).lstrip('/')}"
    storage.make_folder(target)
    other, inner_target = storage.filesystem(target)
    fs.copy_files(inner, inner_target, source_filesystem=store, destination_filesystem=other)


def _copy_file(path: str, scratch: str) -> None:
    storage.write_bytes(f"{scratch}/{path.removeprefix(storage.home()).lstrip('/')}", storage.read_bytes(path))


def _night(as_of: date, parameters: dict, has_model: bool) -> dict[str, Manifest]:
    """Run the night's commands as they are, and find what they made."""
    day, k, active = as_of.isoformat(), parameters["k"], parameters["active_days"]
    build.main([*TABLES, "--as-of", day])
    if has_model:
        ann_index.main(["--as-of", day])
    recommendations.main(["--as-of", day, "--k", str(k), "--active-days", str(active)])
    made = {name: lineage.resolve(name, as_of) for name in TABLES[2:]}
    made["fallback"] = lineage.resolve("fallback", as_of, k=k)
    made["recommendations"] = lineage.resolve("recommendations", as_of, k=k, active_days=active)
    return made | ({"ann_index": lineage.resolve("ann_index", as_of)} if has_model else {})


def _compare(as_of: date, released: dict[str, Manifest], replayed: dict[str, Manifest]) -> None:
    compared = sorted(set(released) & set(replayed))
    differs = [name for name in compared if released[name].content_hash != replayed[name].content_hash]
    for name in compared:
        say(f"  {'differs' if name in differs else 'equal':8} {name:18} {released[name].content_hash[:16]}")
    if differs:
        raise Refusal(f"the night of {as_of} does not replay: {', '.join(differs)} came out otherwise than released; "
                      f"compare library versions and processor with those that made it")
    say(f"replay {as_of}: {len(compared)} tables recomputed from the landing area, all equal to the release")


if __name__ == "__main__":
    sys.exit(run(main))
