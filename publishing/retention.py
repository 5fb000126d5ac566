"""What a home still needs, and what may go: rules for `python -m jobs.clean`.

A release leaves in two steps. It is *retired* first: its file moves to `releases/retired/`, so that nobody can open it
or roll back to it any more. Its tables go with the first clean-up that finds it retired for longer than the grace
period. So whoever opened a release reads it to the end, as long as that takes no longer than the grace period.
"""

import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from lake import lineage, numbered_log, snapshot, storage
from lake.hashing import canonical_json
from lake.snapshot import Damaged, Manifest
from lake.tables import TABLES
from publishing import release_file

FILES_OF_ATTEMPTS = 3  # /table/as_of=…/manifest.json has three; a file of an attempt lies one deeper
LOGS = ("releases", "kept")
LANDED = ("raw_events", "raw_videos", "raw_users", "ids", "quarantine")
Snapshot = tuple[str, str]  # table, identity


@dataclass(frozen=True)
class Rules:
    """keep: the newest releases, at least 1, the live one among them. grace: how long what nothing names stays."""

    keep: int = 30
    grace: timedelta = timedelta(hours=48)

    @property
    def since(self) -> float:
        """Seconds since 1970: what has not changed after this is old enough."""
        return (datetime.now(UTC) - self.grace).timestamp()


def pinned() -> set[int]:
    """Releases that stay until somebody unpins them."""
    said = {entry["release"]: entry["pinned"] for entry in numbered_log.entries("pins")}
    return {number for number, stays in said.items() if stays}


def pin(number: int, stays: bool) -> None:
    """Pin or unpin a release. KeyError when there is none of that number."""
    if number not in numbered_log.numbers("releases"):
        raise KeyError(number)
    numbered_log.append("pins", lambda _: None if (number in pinned()) == stays else {
        "release": number, "pinned": stays})


def to_retire(rules: Rules) -> list[tuple[str, int]]:
    """(log, number) of every release, and every night kept aside, that is neither live, pinned nor among the newest."""
    found = []
    for log in LOGS:
        numbers = numbered_log.numbers(log)
        stay = {*numbers[-rules.keep:], *(pinned() if log == "releases" else ())}
        found += [(log, number) for number in numbers if number not in stay]
    return found


def retire(log: str, number: int) -> None:
    """Move a release out of the list. Killed between the two steps it is in both places, and the next call ends it."""
    path = release_file.path_of(number, log)
    told = {"retired_at": datetime.now(UTC).isoformat(timespec="seconds"), "file": storage.read_bytes(path).decode(
        errors="replace")}
    storage.create_if_absent(_retired_path(log, number), canonical_json(told))
    storage.delete_file(path)


def retired() -> Iterator[tuple[str, datetime, str]]:
    """(path, when it was retired, content) of every retired release."""
    for log in LOGS:
        folder = f"{numbered_log.folder(log)}/retired"
        for name in storage.names(folder):
            told = json.loads(storage.read_bytes(f"{folder}/{name}"))
            yield f"{folder}/{name}", datetime.fromisoformat(told["retired_at"]), told["file"]


def _retired_path(log: str, number: int) -> str:
    return f"{numbered_log.folder(log)}/retired/{number:06d}.json"


def garbage(rules: Rules, going: set[tuple[str, int]]) -> list[Manifest]:
    """Snapshots that no night to come and no release needs, oldest first. going: releases that are being retired."""
    live = [release for release in release_file.readable() if ("releases", release.number) not in going]
    if not live:
        return []
    needed, since = _named(rules, going) | _to_compute_with(), live[-1].date
    found = []
    for declared in TABLES:
        for as_of, identity in snapshot.committed(declared.name):
            if (declared.name, identity) in needed or (as_of >= since and declared.name not in LANDED):
                continue
            manifest = _manifest(declared.name, as_of, identity)
            if manifest and _age(manifest.recorded["committed_at"]) > rules.grace:
                found.append(manifest)
    return sorted(found, key=lambda manifest: (manifest.as_of, manifest.table))


def _named(rules: Rules, going: set[tuple[str, int]]) -> set[Snapshot]:
    """What releases name: those in the lists, and those that were retired within the grace period."""
    releases = [release for log in LOGS for release in release_file.readable(log)
                if rules.grace > timedelta(0) or (log, release.number) not in going]
    found = {(name, told.identity) for release in releases for name, told in release.snapshots.items() if told}
    for _, when, content in retired():
        if _age(when.isoformat()) <= rules.grace:
            found |= _identities(content)
    return found


def _identities(content: str) -> set[Snapshot]:
    try:
        told = json.loads(content)["snapshots"]
        return {(name, reference["identity"]) for name, reference in told.items() if reference}
    except (ValueError, TypeError, KeyError, AttributeError):
        return set()  # it was damaged before it was retired: it names nothing


def _to_compute_with() -> set[Snapshot]:
    """Everything landed, its events and tiles, the models of the promotion log, and what the next training begins
    with: the newest labels and examples, and the feature snapshots from their first day on."""
    needed = {(told["table"], told["identity"])
              for entry in numbered_log.entries("landing") for told in entry["tables"]}
    needed |= {("model", entry["identity"]) for entry in numbered_log.entries("promotions")}
    events = [snapshot.find(plan) for plan in lineage.chunk_plans("events", date.max)]
    hashes = {manifest.content_hash for manifest in events if manifest}
    needed |= {("events", manifest.identity) for manifest in events if manifest}
    needed |= {("tiles", identity) for as_of, identity in snapshot.committed("tiles")
               if (tiles := _manifest("tiles", as_of, identity)) and tiles.inputs["events"] in hashes}
    newest = {name: snapshot.committed(name)[-1:] for name in ("labels", "training_examples")}
    needed |= {(name, identity) for name, found in newest.items() for _, identity in found}
    first = min((_first_day(*found) for found in newest["labels"]), default=date.max)
    return needed | {("feature_snapshots", identity) for _, identity in snapshot.committed("feature_snapshots", first)}


def _first_day(as_of: date, identity: str) -> date:
    labels = _manifest("labels", as_of, identity)
    return min(map(date.fromisoformat, labels.extra["snapshot_days"]), default=as_of) if labels else as_of


def _manifest(name: str, as_of: date, identity: str) -> Manifest | None:
    """A damaged manifest is no garbage: somebody has to look at it."""
    try:
        return snapshot.load(name, as_of, identity)
    except Damaged:
        return None


def _age(told: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(told)


def orphans(rules: Rules) -> list[tuple[str, int]]:
    """(path, bytes) of files that nothing names and nobody has written to for the grace period: of killed attempts, and
    temporary ones."""
    named: set[str] = set()
    for declared in TABLES:
        for as_of, identity in snapshot.committed(declared.name):
            manifest, folder = _manifest(declared.name, as_of, identity), snapshot.folder_of(declared.name, as_of)
            named |= {posixpath.dirname(f"{folder}/{file['path']}") for file in manifest.files} if manifest else \
                {f"{folder}/{name}" for name in storage.names(folder) if name.startswith(identity[:16])}
    lake, oldest = storage.join("lake"), rules.since
    return sorted((path, size) for top in (lake, storage.join("log"), storage.join("releases"))
                  for path, size, changed in storage.files(top) if changed <= oldest and (
                      path.endswith(".tmp") or top == lake and posixpath.dirname(path) not in named
                      and path.removeprefix(lake).count("/") > FILES_OF_ATTEMPTS))


def expired(rules: Rules) -> list[str]:
    """Files of retired releases whose grace period is over."""
    return [path for path, when, _ in retired() if _age(when.isoformat()) > rules.grace]
