"""What each snapshot is made from: plans, and the manifests that answer them.

A job asks `plan(table, as_of)` what it is about to make; the plan's identity follows from the content hashes of its
inputs, so nothing ever asks for "the newest". `resolve` returns the committed snapshot or says which command makes it.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache

from lake import dates, numbered_log, snapshot
from lake.hashing import digest
from lake.refusal import Refusal
from lake.snapshot import Manifest, Plan
from lake.tables import table

CHUNKED = ("events", "tiles")
PUBLISH_LAG_HOURS = 6


class Missing(Refusal):
    """A snapshot or a sealed day that is needed does not exist; the message names the command that makes it."""


def landings(name: str, as_of: date | None = None) -> list[dict]:
    """What committed landings say of a raw table, in arrival order; only those that begin before as_of.

    One entry of the log "landing" names every table of one command, so that they come into being together.
    """
    found = [{**told, "number": entry["number"], "id_types": entry["id_types"],
              "sources": [source for source in entry["sources"] if source["table"] == name]}
             for entry in numbered_log.entries("landing") for told in entry["tables"] if told["table"] == name]
    found = [entry for entry in found if as_of is None or date.fromisoformat(entry["start"]) < as_of]
    return sorted(found, key=lambda entry: entry["start"])


def landed(entry: dict) -> Manifest:
    """The raw snapshot of a landing's log entry."""
    return snapshot.load(entry["table"], date.fromisoformat(entry["end"]), entry["identity"])


def missing_days(as_of: date) -> list[date]:
    """Days from the first sealed one to as_of - 1 that nobody sealed; [as_of - 1] when nothing was ever landed."""
    sealed = [(date.fromisoformat(e["start"]), date.fromisoformat(e["end"])) for e in landings("raw_events", as_of)]
    if not sealed:
        return [as_of - timedelta(days=1)]
    found, reached = [], sealed[0][0]
    for start, end in sealed:
        found += dates.days(reached, start)
        reached = max(reached, end)
    return found + dates.days(reached, as_of)


def require_sealed(as_of: date) -> None:
    """Missing names the first days that nobody sealed before as_of."""
    missing = missing_days(as_of)
    if missing:
        named = ", ".join(day.isoformat() for day in missing[:5]) + (" …" if len(missing) > 5 else "")
        raise Missing(f"the night of {as_of} needs every arrival day before it, but {len(missing)} were never sealed: "
                      f"{named}. Land them: python -m jobs.land PATH (a day without rows is sealed by --seal-through)")


def chunk_plans(name: str, as_of: date) -> list[Plan]:
    """Plans of a chunked table, one per events landing that begins before as_of, in arrival order.

    Missing when the chunks of an input are not built.
    """
    entries = tuple((entry["start"], entry["end"], entry["content_hash"]) for entry in landings("raw_events", as_of))
    if name == "events":
        return list(_event_plans(entries))
    videos = tuple((told["start"], told["content_hash"]) for told in landings("raw_videos"))
    return list(_tile_plans(entries, tuple(events.content_hash for events in chunks("events", as_of)), videos))


@lru_cache(maxsize=4)
def _event_plans(entries: tuple[tuple[str, str, str], ...]) -> tuple[Plan, ...]:
    """A chunk's duplicates depend on all that arrived before it, so its inputs name the landings before its own.
    entries: start, end and content hash of each landing. Kept, since a night asks again and again."""
    hashes = [content for _, _, content in entries]
    return tuple(Plan("events", date.fromisoformat(end), {"start": start},
                      {"raw_events": content, "previous": digest(hashes[:n])})
                 for n, (start, end, content) in enumerate(entries))


@lru_cache(maxsize=4)
def _tile_plans(entries: tuple[tuple[str, str, str], ...], events: tuple[str, ...],
                videos: tuple[tuple[str, str], ...]) -> tuple[Plan, ...]:
    """A chunk's tiles know the videos that had landed by its end. events: content hash of each chunk; videos: start and
    content hash of each landing. Kept as well."""
    return tuple(Plan("tiles", date.fromisoformat(end), {"start": start}, {
        "events": content, "raw_videos": digest(known for first, known in videos if first < end)})  # ISO days, as dates do
        for (start, end, _), content in zip(entries, events, strict=True))


def chunks(name: str, as_of: date) -> list[Manifest]:
    """Committed chunks with rows that arrived before as_of; the last may hold later rows too: filter by arrival."""
    return [_found(plan) for plan in chunk_plans(name, as_of)]


def plan(name: str, as_of: date, **parameters: object) -> Plan:
    """What the snapshot of a table as of a date would be. Missing when one of its inputs is not built."""
    settings = {**table(name).parameters, **parameters}
    return Plan(name, as_of, settings, _INPUTS[name](as_of))


def night_before(name: str, as_of: date, **parameters: object) -> Manifest | None:
    """The snapshot of as_of - 1 that is made of what this one is made of, less what arrived on that day: a table may go
    on from it. None when there is none, or it is damaged."""
    try:
        found = snapshot.find(plan(name, as_of - timedelta(days=1), **parameters))
        if found is not None:
            snapshot.verify(found)
        return found
    except (Missing, snapshot.Damaged):
        return None


def resolve(name: str, as_of: date, **parameters: object) -> Manifest:
    """The committed snapshot of a table as of a date. Missing names the command that makes it."""
    return _found(plan(name, as_of, **parameters))


def _found(wanted: Plan) -> Manifest:
    manifest = snapshot.find(wanted)
    if manifest is None:
        verb = "build " + wanted.table if wanted.table not in ("ann_index", "recommendations", "fallback") \
            else wanted.table
        raise Missing(f"{wanted.table} as of {wanted.as_of} is not built; run: "
                      f"python -m jobs.{verb} --as-of {wanted.as_of}")
    return manifest


def promoted(as_of: date) -> dict | None:
    """The promotion a night uses: the newest with training as_of <= the night's; None before the first."""
    found = [entry for entry in numbered_log.entries("promotions")
             if entry["decision"] == "promoted" and date.fromisoformat(entry["as_of"]) <= as_of]
    return max(found, key=lambda entry: (entry["as_of"], entry["number"]), default=None)


def judged_baseline(as_of: date) -> str:
    """The baseline that the newest judgement of a training as_of <= the night's found best; empty when none was."""
    judged = [entry for entry in numbered_log.entries("promotions") if date.fromisoformat(entry["as_of"]) <= as_of]
    newest = max(judged, key=lambda entry: (entry["as_of"], entry["number"]), default={})
    return (newest.get("metrics") or {}).get("best_baseline") or ""


def model_of(as_of: date) -> Manifest | None:
    """The model snapshot that a night uses, pinned by the promotion log; None while no model has passed."""
    entry = promoted(as_of)
    if entry is None:
        return None
    manifest = snapshot.load("model", date.fromisoformat(entry["as_of"]), entry["identity"])
    if manifest.content_hash != entry["content_hash"]:
        raise snapshot.Damaged(f"model {entry['identity'][:16]} differs from promotion {entry['number']}")
    return manifest


def blocked(as_of: date, known: int | None = None) -> list[int]:
    """Videos that people blocked for nights from as_of on, ascending (`python -m jobs.block`).

    known: only the log's entries up to this number, all when None.
    """
    return sorted({entry["video_id"] for entry in numbered_log.entries("blocks")
                   if date.fromisoformat(entry["from"]) <= as_of and (known is None or entry["number"] <= known)})


def blocks_known(as_of: date) -> Iterator[tuple[int, str]]:
    """What tables of a night may say of blocks: (last entry they know, the input "blocked"), the newest first."""
    for known in reversed([0, *numbered_log.numbers("blocks")]):
        yield known, _blocked_digest(as_of, known)


def live_as_of(event_day: date) -> tuple[date, date]:
    """The snapshot dates that were live during a day: before and after the publish lag has passed."""
    return event_day - timedelta(days=1), event_day


def _chunk_digest(name: str, as_of: date) -> str:
    return digest(manifest.content_hash for manifest in chunks(name, as_of))


def _landed_digest(name: str, as_of: date) -> str:
    return digest(entry["content_hash"] for entry in landings(name, as_of))


def _snapshot_digest(as_of: date) -> str:
    days = resolve("labels", as_of).extra["snapshot_days"]
    return digest(resolve("feature_snapshots", date.fromisoformat(day)).content_hash for day in days)


def _blocked_digest(as_of: date, known: int | None = None) -> str:
    return digest(map(str, blocked(as_of, known)))


def lists_inputs(as_of: date) -> dict[str, str]:
    """What the lists of a night are made from, apart from blocks and the index, which follows from them."""
    model = model_of(as_of)
    return {"model": model.content_hash if model else f"none {judged_baseline(as_of)}".strip(),
            **{name: _hash(name, as_of) for name in ("histories", "catalogue", "popularity", "feature_snapshots")}}


def _model_hash(as_of: date) -> str:
    model = model_of(as_of)
    return model.content_hash if model else "none"


def _hash(name: str, as_of: date) -> str:
    return resolve(name, as_of).content_hash


_INPUTS = {
    "feature_snapshots": lambda d: {"tiles": _chunk_digest("tiles", d)},
    "popularity": lambda d: {"tiles": _chunk_digest("tiles", d)},
    "catalogue": lambda d: {"raw_videos": _landed_digest("raw_videos", d), "events": _chunk_digest("events", d),
                            "ids": _landed_digest("ids", d)},
    "histories": lambda d: {"events": _chunk_digest("events", d), "raw_users": _landed_digest("raw_users", d),
                            "ids": _landed_digest("ids", d)},
    "labels": lambda d: {"events": _chunk_digest("events", d), "raw_videos": _landed_digest("raw_videos", d)},
    "training_examples": lambda d: {"labels": _hash("labels", d), "feature_snapshots": _snapshot_digest(d)},
    "ann_index": lambda d: {"model": _model_hash(d), "catalogue": _hash("catalogue", d),
                            "blocked": _blocked_digest(d)},
    "fallback": lambda d: {"popularity": _hash("popularity", d), "catalogue": _hash("catalogue", d),
                           "blocked": _blocked_digest(d)},
    "recommendations": lambda d: {**lists_inputs(d), "ann_index": _hash("ann_index", d) if model_of(d) else "none",
                                  "blocked": _blocked_digest(d)},
}
