"""Making a night live: one file, created last, that names everything; and the rules of what may be live.

The live release is the highest number in releases/. Every rule is checked inside the append, so it holds at the moment
the file comes into being, whoever raced or woke up late:

- an as_of older than the live one's is kept (log/kept), never live by itself;
- what is live already is not released twice;
- what a rollback took away comes back only by `python -m jobs.rollback --to N`.
"""

import os
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pyarrow.compute as pc

from lake import lineage, numbered_log, snapshot
from lake.hashing import canonical_json, sha256_of
from lake.snapshot import Damaged, Manifest
from lake.tables import table
from publishing import live, release_file
from publishing.release_file import NEEDED, NO_MODEL, Reference, Release

DAY = timedelta(days=1)
RELEASED, ALREADY_LIVE, KEPT = "released", "already live", "kept"


class NotReleased(Exception):
    """The night may not become live; the message says why and what would make it so."""


@dataclass(frozen=True)
class Outcome:
    """What publishing did: `how` is one of released, already live, kept."""

    how: str
    release: Release


def publish(as_of: date, k: int, active_days: int | None = None) -> Outcome:
    """Make the night of as_of live, or say why it is not.

    active_days: which lists, where a night was computed for several; None takes the only ones there are.
    Raises lineage.Missing when the night is not computed, Damaged when a file of it is not as it was written, and
    NotReleased when it was withdrawn or more than one table of lists fits.
    """
    candidate = _candidate(as_of, k, active_days)
    loaded = live.opened(candidate)
    outcome: list[Outcome] = []

    def make(existing: list[int]) -> dict | None:
        past = release_file.deciding(as_of, existing)
        newest = past[-1] if past else None
        whole = completed(replace(candidate, parent=existing[-1] if existing else None), loaded, past)
        if newest and as_of < newest.date:
            outcome[:] = [Outcome(KEPT, _keep(whole, newest))]
            return None
        if newest and newest.number == existing[-1] and same(newest, whole):
            outcome[:] = [Outcome(ALREADY_LIVE, newest)]
            return None
        refuse_withdrawn(whole, past)
        return whole.as_json()

    entry = numbered_log.append("releases", make)
    return outcome[0] if entry is None else Outcome(RELEASED, release_file.read(entry["number"]))


def completed(release: Release, loaded: live.Loaded, past: list[Release]) -> Release:
    """A release with today's tombstones, its counts and the clock: ready to be written after `past`."""
    hidden = tombstones(release, loaded, past)
    shown = live.Loaded(replace(release, tombstones=hidden), loaded.manifests)
    counts = counted(shown)
    if not counts["fallback_rows"]:
        raise NotReleased(f"release of {release.as_of}: tombstones leave the fallback list empty; removed_at in the "
                          "newest catalogue takes down every video of it")
    recorded = {"committed_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "revision": os.environ.get("NIGHTREEL_REVISION", "")}
    highest = max([release.as_of, *(day for each in past for day in (each.as_of, each.highest))])
    return replace(shown.release, counts=counts, recorded=recorded, highest=highest)


def counted(shown: live.Loaded) -> dict[str, int]:
    """What readers of a release see, in numbers."""
    rows = shown.recommendations()
    return {"users": len(pc.unique(rows["user_id"])), "rows": rows.num_rows, "fallback_rows": shown.fallback.num_rows,
            "videos": shown.manifests["catalogue"].rows}


def tombstones(release: Release, loaded: live.Loaded, past: list[Release]) -> dict[str, list[int]]:
    """Ids that readers must not see: blocked videos, erased users, and for a night that is not the newest also the
    videos that were taken down since, as the newest night knows them."""
    videos = {entry["video_id"] for entry in numbered_log.entries("blocks")}
    users = {user for each in past[-1:] for user in each.tombstones["users"]}
    newer = [each for each in past if each.date > release.date]
    if newer:
        videos |= set(past[-1].tombstones["videos"]) | _taken_down_since(loaded, newer)
    return {"videos": sorted(videos), "users": sorted(users)}


def _taken_down_since(loaded: live.Loaded, newer: list[Release]) -> set[int]:
    """Videos eligible in this night's catalogue and no longer in that of the newest night that can be read."""
    mine = _eligible(loaded.manifests["catalogue"])
    for release in sorted(newer, key=lambda each: (each.as_of, each.number), reverse=True):
        try:
            return mine - _eligible(live.opened(release, ("catalogue",)).manifests["catalogue"])
        except Damaged:
            continue
    return set()


def _eligible(catalogue: Manifest) -> set[int]:
    rows = snapshot.read(catalogue, columns=["video_id", "eligible"])
    return set(rows.filter(rows["eligible"])["video_id"].to_pylist())


def same(one: Release, other: Release) -> bool:
    """Whether readers see the same of two releases."""
    return one.content == other.content and one.tombstones == other.tombstones


def _keep(release: Release, newest: Release) -> Release:
    """Remember a night that is older than the live one: whole, verified, not live."""
    kept: list[Release] = []

    def make(existing: list[int]) -> dict | None:
        kept[:] = [each for each in release_file.readable("kept") if each.content == release.content]
        return None if kept else replace(release, kind="kept", parent=newest.number).as_json()

    entry = numbered_log.append("kept", make)
    return kept[0] if entry is None else release_file.read(entry["number"], "kept")


def refuse_withdrawn(release: Release, past: list[Release]) -> None:
    """NotReleased when a rollback took this night away and nothing it is made from has changed since."""
    number = (release_file.withdrawn(past, "content").get(release.content)
              or release_file.withdrawn(past, "night").get(release.night))
    if number:
        raise NotReleased(f"the night of {release.as_of} was withdrawn (release {number}) and nothing it is made from "
                          f"has changed since; to go forward to it again: python -m jobs.rollback --to {number}")


def _candidate(as_of: date, k: int, active_days: int | None) -> Release:
    manifests = {name: lineage.resolve(name, as_of) for name in NEEDED if name not in ("recommendations", "fallback")}
    lists = manifests["recommendations"] = _lists(as_of, k, active_days)
    made_from = {name: manifests[name].content_hash for name in ("popularity", "catalogue")}
    manifests["fallback"] = _only(_made("fallback", as_of, made_from, k=k), "fallback", as_of, k=k)
    model = lineage.model_of(as_of)
    snapshots: dict[str, Reference | None] = {"model": None, "ann_index": None}
    if model:
        index = [each for each in _committed("ann_index", as_of) if each.content_hash == lists.inputs["ann_index"]]
        manifests |= {"model": model, "ann_index": _only(index, "ann_index", as_of)}
    snapshots |= {name: release_file.reference_to(manifest) for name, manifest in manifests.items()}
    return Release(kind="publish", parent=None, as_of=as_of.isoformat(), k=k, model=_version(as_of, model),
                   snapshots=snapshots, counts={}, tombstones={"videos": [], "users": []}, night=_night(lists))


def _version(as_of: date, model: Manifest | None) -> str:
    """What people call the model: its version in MLflow, or, of one trained while MLflow was down, how its identity
    begins, which is its tag `training_identity` there once it is registered."""
    promoted = lineage.promoted(as_of) if model else None
    return str(promoted["registered_version"] or model.identity[:12]) if promoted else NO_MODEL


def _night(lists: Manifest) -> str:
    """What the lists were made from, apart from blocks and what follows from them."""
    inputs = {name: value for name, value in lists.inputs.items() if name not in ("blocked", "ann_index")}
    return sha256_of(canonical_json([lists.version, lists.as_of.isoformat(), inputs]))


def _lists(as_of: date, k: int, active_days: int | None) -> Manifest:
    """The lists of that night with that K."""
    asked = {"k": k} if active_days is None else {"k": k, "active_days": active_days}
    fitting = _made("recommendations", as_of, lineage.lists_inputs(as_of), **asked)
    if len(fitting) > 1:
        choices = ", ".join(sorted(f"--active-days {manifest.parameters['active_days']}" for manifest in fitting))
        raise NotReleased(f"the night of {as_of} has {len(fitting)} tables of lists with K={k}; say which: {choices}")
    return _only(fitting, "recommendations", as_of, k=k, active_days=active_days or 0)


def _made(name: str, as_of: date, made_from: dict[str, str], **parameters: int) -> list[Manifest]:
    """Tables of a night made from these inputs: those that know the newest blocks. A video blocked after they were made
    is none of their inputs; the release hides it."""
    fitting = [each for each in _committed(name, as_of) if each.version == table(name).version
               and made_from.items() <= each.inputs.items() and parameters.items() <= each.parameters.items()]
    for _, hidden in lineage.blocks_known(as_of) if fitting else ():
        if known := [each for each in fitting if each.inputs["blocked"] == hidden]:
            return known
    return []


def _committed(name: str, as_of: date) -> list[Manifest]:
    return [snapshot.load(name, day, identity) for day, identity in snapshot.committed(name, as_of, as_of + DAY)]


def _only(found: list[Manifest], name: str, as_of: date, **parameters: int) -> Manifest:
    """That table, or lineage.Missing with the command that makes it."""
    return found[0] if found else lineage.resolve(name, as_of, **parameters)
