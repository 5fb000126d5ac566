"""What readers get: one release, whole, checked before it is believed, and held open for as long as they like."""

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from lake import numbered_log, snapshot
from lake.hashing import bucket_of
from lake.snapshot import Damaged, Manifest
from publishing import lists, release_file
from publishing.release_file import NO_MODEL, WITH_A_MODEL, Release


class NoRelease(Exception):
    """Nothing was released yet, or no release has that number."""


@dataclass(frozen=True)
class Loaded:
    """A release with the manifests of its snapshots; tables are read when asked for, as readers may see them."""

    release: Release
    manifests: dict[str, Manifest]

    def recommendations(self, user_id: int | None = None) -> pa.Table:
        """The lists, at most K rows a user, ranks from 1 without holes; of one user when given."""
        buckets = None if user_id is None else bucket_of(pa.array([user_id], pa.int64()).to_numpy()).tolist()
        rows = snapshot.read(self.manifests["recommendations"], buckets=buckets)
        if user_id is not None:
            rows = rows.filter(pc.equal(rows["user_id"], user_id))
        return self._shown(rows, "user_id")

    @cached_property
    def fallback(self) -> pa.Table:
        """The lists of users without one of their own, per country; country "" is everyone else."""
        return self._shown(snapshot.read(self.manifests["fallback"]), "country")

    def fallback_for(self, country: str | None) -> pa.Table:
        """The list of a country, or everyone's where that country has none."""
        own = self.fallback.filter(pc.equal(self.fallback["country"], country or ""))
        return own if own.num_rows else self.fallback.filter(pc.equal(self.fallback["country"], ""))

    def table(self, name: str, columns: list[str] | None = None, user_id: int | None = None) -> pa.Table:
        """Rows of another snapshot of the release (catalogue, histories, …); of one user's bucket when given."""
        buckets = None if user_id is None else bucket_of(pa.array([user_id], pa.int64()).to_numpy()).tolist()
        return snapshot.read(self.manifests[name], columns=columns, buckets=buckets)

    def _shown(self, rows: pa.Table, group: str) -> pa.Table:
        hidden = self.release.tombstones
        return lists.shown(rows, group, self.release.k, hidden["videos"], hidden["users"])


def load_release(number: int | None = None, tables: tuple[str, ...] | None = None) -> Loaded:
    """The live release, or the one with that number, after sha256 of every file was checked.

    tables: which snapshots to check and open; all when None. Raises NoRelease, or Damaged naming the file at fault.
    """
    numbers = numbered_log.numbers("releases")
    if not numbers:
        raise NoRelease("nothing was released yet; run: make night AS_OF=YYYY-MM-DD")
    if number is not None and number not in numbers:
        raise NoRelease(f"there is no release {number}; `python -m jobs.releases` lists them")
    release = release_file.read(numbers[-1] if number is None else number)
    try:
        return opened(release, tables)
    except Damaged:
        again = release_file.read(release.number)
        if again == release:
            raise
        return opened(again, tables)  # a user was erased while its tables were checked


def opened(release: Release, tables: tuple[str, ...] | None = None) -> Loaded:
    """Check the snapshots that a release names, their files and their agreement. Damaged names what is wrong."""
    manifests = {name: release_file.manifest_of(name, reference)
                 for name, reference in release.snapshots.items()
                 if reference is not None and (tables is None or name in tables)}
    for manifest in manifests.values():
        snapshot.paths(manifest)
        snapshot.verify(manifest)
    if tables is None:
        wrong = disagreement(release, manifests)
        if wrong:
            where = release_file.path_of(release.number) if release.number else f"the night of {release.as_of}"
            raise Damaged(f"{where}: {wrong}")
    return Loaded(release, manifests)


def disagreement(release: Release, manifests: dict[str, Manifest]) -> str:
    """What does not belong together in a release; empty when all of it does."""
    made_from = manifests["recommendations"].inputs
    for name, reference in release.snapshots.items():
        told = (reference.content_hash, reference.rows) if reference else None
        if told and (manifests[name].content_hash, manifests[name].rows) != told:
            return f"{name} has another content hash or row count than was released"
        used = made_from.get(name, reference.content_hash if reference else NO_MODEL)
        if used != (reference.content_hash if reference else NO_MODEL):
            return f"its lists were made from another {name}"
        if reference and name != "model" and reference.as_of != release.as_of:
            return f"{name} is of {reference.as_of}, the release of {release.as_of}"
    if (release.model == NO_MODEL) != all(release.snapshots[name] is None for name in WITH_A_MODEL):
        return "model and index must both be there or both be absent"
    return ""
