"""A release file: what it says, and the suspicion it is read with.

`releases/000123.json` names snapshots by table, date and identity, never by path, and the hash of each manifest. The
live release is the highest number. A file that is not what `publish` writes is refused by name before anything that
it names is opened.
"""

import re
from dataclasses import asdict, dataclass, field
from datetime import date

from lake import dates, numbered_log, snapshot, storage
from lake.hashing import digest, sha256_of
from lake.snapshot import Damaged, Manifest

KINDS = ("publish", "rollback", "block", "erase", "kept")
NEEDED = ("recommendations", "fallback", "feature_snapshots", "catalogue", "histories", "popularity")
WITH_A_MODEL = ("model", "ann_index")
NO_MODEL = "none"
LONGEST_FILE = 64 << 20
LONGEST_LIST = 10_000
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """One snapshot that a release makes live."""

    as_of: str
    identity: str
    content_hash: str
    manifest_sha256: str
    rows: int


@dataclass(frozen=True)
class Release:
    """What a release file says. `number` is its name; `recorded` holds clock readings, which nothing computes from.

    snapshots: table → reference, None for model and ann_index of a baseline night. tombstones: ids under "videos" and
    "users" that readers must not show. night: a hash of what the lists were made from, blocks and K aside. restores:
    the release that a rollback returned to. why: what a person gave as reason. highest: the newest as_of of this
    release and all before it; empty when nobody said.
    """

    kind: str
    parent: int | None
    as_of: str
    k: int
    model: str
    snapshots: dict[str, Reference | None]
    counts: dict[str, int]
    tombstones: dict[str, list[int]]
    night: str
    restores: int | None = None
    why: str = ""
    highest: str = ""
    recorded: dict = field(default_factory=dict)
    number: int = 0

    @property
    def date(self) -> date:
        return date.fromisoformat(self.as_of)

    @property
    def content(self) -> str:
        """One hash of what readers see, tombstones aside: the snapshots and K."""
        return digest([str(self.k), *(f"{name}:{each.identity if each else NO_MODEL}"
                                      for name, each in sorted(self.snapshots.items()))])

    def as_json(self) -> dict:
        return {key: value for key, value in asdict(self).items() if key != "number"}


def path_of(number: int, log: str = "releases") -> str:
    return f"{numbered_log.folder(log)}/{number:06d}.json"


def read(number: int, log: str = "releases") -> Release:
    """The release of that number. Damaged names the file when it is not what `publish` writes."""
    path = path_of(number, log)
    size = storage.size(path)
    if size is None or not 0 < size <= LONGEST_FILE:
        raise Damaged(f"{path}: {'missing, or a link' if size is None else f'{size} bytes'}, not a release file")
    try:
        return _parsed(numbered_log.read(log, number))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Damaged(f"{path} is not a release: {str(error)[:200]}. `python -m jobs.rollback` returns to a "
                      "whole one") from error


def readable(log: str = "releases") -> list[Release]:
    """Every release that can be read, in order; damaged files are left out."""
    found = []
    for number in numbered_log.numbers(log):
        try:
            found.append(read(number, log))
        except Damaged:
            continue
    return found


def deciding(as_of: date, numbers: list[int]) -> list[Release]:
    """The past releases that matter to a night: all, or the live one alone when no release is of that night or a newer
    one. So that the four-hundredth night costs what the first did."""
    try:
        live = read(numbers[-1]) if numbers else None
    except Damaged:
        live = None
    return [live] if live and "" < live.highest < as_of.isoformat() else readable()


def withdrawn(past: list[Release], what: str) -> dict[str, int]:
    """What rollbacks took away and none brought back: `content` or `night` of those releases → the newest of
    them."""
    gone: dict[str, int] = {}
    for each in past:
        if each.kind == "rollback" and each.restores is not None:
            gone |= {getattr(lost, what): lost.number for lost in past
                     if each.restores < lost.number < each.number and lost.kind != "rollback"}
            gone.pop(getattr(each, what), None)
    return gone


def _parsed(entry: dict) -> Release:
    snapshots = {name: _reference(name, told) for name, told in entry["snapshots"].items()}
    if set(snapshots) != {*NEEDED, *WITH_A_MODEL}:
        raise ValueError("it does not name the tables of a release")
    release = Release(**{**entry, "snapshots": snapshots})
    for name in NEEDED:
        if snapshots[name] is None:
            raise ValueError(f"it has no {name}")
    for day in (release.as_of, release.highest or release.as_of):
        dates.parse_date(day)
    numbers = [release.k, *release.counts.values(), *release.tombstones["videos"], *release.tombstones["users"]]
    whole = all(type(number) is int for number in numbers)
    if release.kind not in KINDS or not whole or not 0 < release.k <= LONGEST_LIST:
        raise ValueError("its kind, k, counts or tombstones are absurd")
    return release


def _reference(name: str, told: dict | None) -> Reference | None:
    if told is None:
        return None
    reference = Reference(**told)
    dates.parse_date(reference.as_of)
    for value in (reference.identity, reference.content_hash, reference.manifest_sha256):
        if not isinstance(value, str) or not _HASH.fullmatch(value):
            raise ValueError(f"{name} is named by something that is no sha256")
    return reference


def reference_to(manifest: Manifest) -> Reference:
    return Reference(manifest.as_of.isoformat(), manifest.identity, manifest.content_hash,
                     sha256_of(storage.read_bytes(_manifest_path(manifest.table, manifest.as_of, manifest.identity))),
                     manifest.rows)


def manifest_of(name: str, reference: Reference) -> Manifest:
    """The manifest that a release names. Damaged when it is gone, a link, or not the one that was released."""
    as_of = date.fromisoformat(reference.as_of)
    path = _manifest_path(name, as_of, reference.identity)
    if storage.size(path) is None:
        raise Damaged(f"{path} is missing or a link; `python -m jobs.rollback` returns to a whole release")
    if sha256_of(storage.read_bytes(path)) != reference.manifest_sha256:
        raise Damaged(f"{path} is not the manifest that was released; `python -m jobs.rollback` returns to a whole one")
    return snapshot.load(name, as_of, reference.identity)


def _manifest_path(name: str, as_of: date, identity: str) -> str:
    return storage.join("lake", name, f"as_of={as_of.isoformat()}", f"{identity}.json")
