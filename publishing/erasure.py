"""Taking a user out of releases: each names successors in place of the tables that held the user's rows."""

from dataclasses import replace
from datetime import UTC, datetime

from lake import erasure, numbered_log, snapshot
from lake.erasure import Change, Person
from lake.snapshot import Damaged
from publishing import live, release, release_file, retention
from publishing.release_file import Release

IN_ORDER = ("histories", "feature_snapshots", "recommendations")  # a table after those it is made from


def from_releases(whom: Person) -> tuple[list[Change], list[str]]:
    """Every release and kept night changes in one step each, after its successors exist. Also what is damaged and was
    left as it is. A file that is not a release is none: what it names goes with the tables that nothing names."""
    made: dict[str, Change] = {}
    damaged: list[str] = []
    for log in retention.LOGS:
        for each in release_file.readable(log):
            try:
                changes = _of_release(each, whom, made)
                if changes:
                    erasure.remember(changes, f"{log} {each.number}")
                    numbered_log.rewrite(log, _with(each, changes).as_json() | {"number": each.number})
            except Damaged as error:
                damaged.append(str(error))
    return list(made.values()), damaged


def _of_release(each: Release, whom: Person, made: dict[str, Change]) -> list[Change]:
    """Successors of a release's tables. made: old identity → change, of all releases so far; grows."""
    found: list[Change] = []
    for name in IN_ORDER:
        manifest = release_file.manifest_of(name, each.snapshots[name])
        hashes = {change.old.content_hash: change.new.content_hash for change in found}
        change = made.get(manifest.identity) or erasure.successor(manifest, whom, hashes)
        if change:
            made[manifest.identity] = change
            found.append(change)
    return found


def _with(each: Release, changes: list[Change]) -> Release:
    references = {change.new.table: release_file.reference_to(change.new) for change in changes}
    renewed = replace(each, snapshots=each.snapshots | references)
    manifests = {name: release_file.manifest_of(name, told) for name, told in renewed.snapshots.items()
                 if told and name in ("recommendations", "fallback", "catalogue")}
    return replace(renewed, counts=release.counted(live.Loaded(renewed, manifests)))


def renewed_live() -> Release | None:
    """A new release of what is live now, so that everything downstream of a release number changes over too. None when
    nothing was released, or when there is one for all that was erased so far."""
    last = max((entry["number"] for entry in numbered_log.entries("erasures") if "changes" in entry), default=0)
    why = f"erasures up to {last}"

    def make(existing: list[int]) -> dict | None:
        if not existing or not last or any(each.why == why for each in release_file.readable()):
            return None
        now = release_file.read(existing[-1])
        recorded = now.recorded | {"committed_at": datetime.now(UTC).isoformat(timespec="seconds")}
        return replace(now, kind="erase", parent=now.number, why=why, restores=None, recorded=recorded).as_json()

    entry = numbered_log.append("releases", make)
    return release_file.read(entry["number"]) if entry else None


def unnamed(whom: Person, named: set[tuple[str, str]]) -> tuple[list[snapshot.Manifest], list[str]]:
    """Snapshots that hold rows of the user and that neither a landing nor a release names, and what can't be read."""
    found, unreadable = [], []
    for name in erasure.TABLES_OF_USERS:
        for as_of, identity in snapshot.committed(name):
            if (name, identity) in named:
                continue
            try:
                manifest = snapshot.load(name, as_of, identity)
                if erasure.rows_of_person(manifest, whom):
                    found.append(manifest)
            except Damaged as error:
                unreadable.append(str(error))
    return found, unreadable


def named() -> set[tuple[str, str]]:
    """(table, identity) of everything that a landing or a release names."""
    landed = {(told["table"], told["identity"])
              for entry in numbered_log.entries("landing") for told in entry["tables"]}
    return landed | {(name, told.identity) for log in retention.LOGS for each in release_file.readable(log)
                     for name, told in each.snapshots.items() if told}
