"""A lake of its own for computing a published night once more: beside the live one, and gone afterwards."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

from pyarrow import fs

from jobs import ann_index, build, recommendations
from jobs.small_lake import environment
from lake import lineage, numbered_log, storage, temporary
from lake.hashing import canonical_json
from lake.refusal import Refusal
from lake.snapshot import Manifest
from publishing import live

TABLES = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity")


def released(as_of: date, number: int | None) -> dict[str, Manifest]:
    """The tables of a release of that date, the newest when no number is given, checked. Refusal when there is none."""
    numbers = [entry["number"] for entry in numbered_log.entries("releases")
               if entry["as_of"] == as_of.isoformat() and number in (None, entry["number"])]
    if not numbers:
        raise Refusal(f"no release {number or ''} of {as_of}; `python -m jobs.releases` lists them")
    return live.load_release(max(numbers)).manifests


@contextmanager
def scratch_lake(as_of: date, made: dict[str, Manifest], land: Callable[[date, str], None]) -> Iterator[None]:
    """A lake with what `land` brings there, and with the model (or the baseline in its place) and the blocks that the
    tables of a release were made with; everything in the block happens in it; removed afterwards."""
    model, lists = made.get("model"), made["recommendations"]
    home = storage.home()
    with temporary.folder("replay") if storage.is_local(home) else _folder_below(home) as scratch:
        land(as_of, scratch)
        judged = {"as_of": as_of.isoformat(), "decision": "rejected",
                  "metrics": {"best_baseline": lists.extra["baseline"]}}
        if model is not None:
            copy_folder(model.folder, scratch)
            judged = {"as_of": model.as_of.isoformat(), "decision": "promoted", "identity": model.identity,
                      "content_hash": model.content_hash}
        storage.create_if_absent(f"{scratch}/log/promotions/000001.json", canonical_json(judged))
        known = next((number for number, told in lineage.blocks_known(as_of) if told == lists.inputs["blocked"]), 0)
        for number in range(1, known + 1):
            copy_file(f"{numbered_log.folder('blocks')}/{number:06d}.json", scratch)
        with environment(NIGHTREEL_HOME=scratch):
            yield


@contextmanager
def _folder_below(home: str) -> Iterator[str]:
    """A folder in an object store, removed afterwards."""
    scratch = f"{home}/scratch/{uuid.uuid4().hex}"
    try:
        yield scratch
    finally:
        storage.delete_folder(scratch)


def copy_landings(as_of: date, scratch: str) -> None:
    """Log entries whose events begin before the date, with the raw snapshots that they name."""
    for number in numbered_log.numbers("landing"):
        entry = numbered_log.read("landing", number)
        if any(date.fromisoformat(landed["start"]) < as_of for landed in entry["tables"]):
            copy_file(f"{numbered_log.folder('landing')}/{number:06d}.json", scratch)
            for landed in entry["tables"]:
                copy_folder(lineage.landed(landed).folder, scratch)


def copy_folder(folder: str, scratch: str) -> None:
    store, inner = storage.filesystem(folder)
    target = f"{scratch}/{folder.removeprefix(storage.home()).lstrip('/')}"
    storage.make_folder(target)
    other, inner_target = storage.filesystem(target)
    fs.copy_files(inner, inner_target, source_filesystem=store, destination_filesystem=other)


def copy_file(path: str, scratch: str) -> None:
    storage.write_bytes(f"{scratch}/{path.removeprefix(storage.home()).lstrip('/')}", storage.read_bytes(path))


def features(as_of: date) -> dict[str, Manifest]:
    """Build the tables of the night from what was landed."""
    build.main([*TABLES, "--as-of", as_of.isoformat()])
    return {name: lineage.resolve(name, as_of) for name in TABLES[2:]}


def lists(as_of: date, parameters: dict, has_model: bool) -> dict[str, Manifest]:
    """Make index, lists and fallback of the night with the commands that a night runs."""
    day, k, active = as_of.isoformat(), parameters["k"], parameters["active_days"]
    if has_model:
        ann_index.main(["--as-of", day])
    recommendations.main(["--as-of", day, "--k", str(k), "--active-days", str(active)])
    made = {"fallback": lineage.resolve("fallback", as_of, k=k),
            "recommendations": lineage.resolve("recommendations", as_of, k=k, active_days=active)}
    return made | ({"ann_index": lineage.resolve("ann_index", as_of)} if has_model else {})
