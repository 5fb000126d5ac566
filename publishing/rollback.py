"""Going back, and taking one video out at once: new releases that name snapshots which exist already."""

from dataclasses import replace
from datetime import timedelta

import pyarrow.compute as pc

from lake import numbered_log
from lake.snapshot import Damaged
from publishing import live, release_file
from publishing.release import NotReleased, completed, same
from publishing.release_file import Release


def rollback(to: int | None = None, to_kept: int | None = None) -> Release:
    """A new release of an earlier release's snapshots, with today's tombstones; the live one where it is that already.

    to: its number; by default the newest whole release before the live one that shows something else and that no
    rollback took away. Also the way forward to a withdrawn release. to_kept: the number of a night that was kept and
    never live. Raises NotReleased when there is nothing to go
    to or when another release went live meanwhile, Damaged when the named release is not whole.
    """
    numbers = numbered_log.numbers("releases")
    if not numbers:
        raise NotReleased("nothing was released yet, so there is nothing to go back to")
    target = _target(to, to_kept, numbers)

    def make(existing: list[int]) -> dict | None:
        if existing[-1] != numbers[-1]:
            raise NotReleased(f"release {existing[-1]} went live meanwhile; look at it (python -m jobs.releases), then "
                              "say where to go: python -m jobs.rollback --to N")
        base = replace(target.release, kind="rollback", parent=numbers[-1], restores=_origin(target.release), why="")
        past = release_file.readable()
        whole = completed(base, target, past)
        live_already = past and past[-1].number == numbers[-1] and same(past[-1], whole)
        return None if live_already else whole.as_json()

    entry = numbered_log.append("releases", make)
    return release_file.read(numbers[-1] if entry is None else entry["number"])


def _target(to: int | None, to_kept: int | None, numbers: list[int]) -> live.Loaded:
    if to_kept is not None:
        if to_kept not in numbered_log.numbers("kept"):
            raise NotReleased(f"no night was kept under {to_kept}; `python -m jobs.releases` lists them")
        return live.opened(release_file.read(to_kept, "kept"))
    return live.load_release(to) if to is not None else _newest_whole(release_file.readable(), numbers[-1])


def _origin(release: Release) -> int:
    """The release a rollback returns to: the one that first showed it, or the last before a night that was kept."""
    if release.kind == "kept":
        return max((each.number for each in release_file.readable() if each.date < release.date), default=0)
    return release.restores if release.kind == "rollback" and release.restores is not None else release.number


def _newest_whole(past: list[Release], live_number: int) -> live.Loaded:
    now = next((each for each in past if each.number == live_number), None)
    gone = release_file.withdrawn(past, "content")
    for release in reversed([each for each in past if each.number < live_number]):
        if (now is None or release.content != now.content) and release.content not in gone:
            try:
                return live.opened(release)
            except Damaged:
                continue
    raise NotReleased("no earlier release is whole and different from the live one; publish a night: "
                      "make night AS_OF=YYYY-MM-DD")


def block(video_id: int, why: str) -> Release:
    """Take a video out of every list at once and for good: a tombstone today, in no table from the next night on.

    The live night's own tables stay as they are, so that running it again makes the same. The block is written first: a
    crash between the two leaves the tombstone to the next release. NoRelease before the first one.
    """
    since = (live.load_release(tables=()).release.date + timedelta(days=1)).isoformat()

    def log(existing: list[int]) -> dict | None:
        known = {entry["video_id"] for entry in numbered_log.entries("blocks")}
        return None if video_id in known else {"video_id": video_id, "from": since, "reason": why}

    numbered_log.append("blocks", log)
    loaded: list[live.Loaded] = []

    def make(existing: list[int]) -> dict | None:
        loaded[:] = [live.load_release(existing[-1])]
        now = loaded[0].release
        if video_id in now.tombstones["videos"]:
            return None
        base = replace(now, kind="block", parent=now.number, why=why)
        return completed(base, loaded[0], release_file.readable()).as_json()

    entry = numbered_log.append("releases", make)
    return loaded[0].release if entry is None else release_file.read(entry["number"])


def video_of(original_id: str) -> int:
    """The id inside Nightreel of a video as people know it, from the live catalogue. NotReleased when there is none."""
    try:
        catalogue = live.load_release(tables=("catalogue",)).table("catalogue", ["video_id", "original_id"])
    except live.NoRelease as error:
        raise NotReleased(f"no catalogue to find video {original_id!r} in: {error}") from error
    found = catalogue.filter(pc.equal(catalogue["original_id"], original_id))["video_id"].to_pylist()
    if not found:
        raise NotReleased(f"the live catalogue has no video {original_id[:80]!r}")
    return found[0]
