"""Dimension rows as versions: what was known of a video or user at a moment."""

from datetime import date

import numpy as np
import pyarrow as pa

from lake import dates, lineage, snapshot
from lake.tables import table


def versions(name: str, as_of: date, since: date = date.min) -> pa.Table:
    """All versions of raw_videos or raw_users that arrived in [since, as_of), ordered by (id, arrived_at)."""
    key = table(name).key[0]
    pieces = [table(name).schema.empty_table()]
    pieces += [snapshot.read(lineage.landed(entry)) for entry in lineage.landings(name, as_of)
               if date.fromisoformat(entry["end"]) > since]
    rows = pa.concat_tables(pieces)
    arrived = rows["arrived_at"].cast(pa.int64()).to_numpy()
    known = arrived < dates.midnight_us(as_of)
    if since > date.min:
        known &= arrived >= dates.midnight_us(since)
    return rows.filter(pa.array(known)).sort_by([(key, "ascending"), ("arrived_at", "ascending")])


def last_of_each(name: str, rows: pa.Table) -> pa.Table:
    """The last of each id's versions, which are ordered by (id, arrived_at)."""
    ids = rows[table(name).key[0]].to_numpy()
    last = np.append(ids[1:] != ids[:-1], True) if len(ids) else np.empty(0, bool)
    return rows.filter(pa.array(last))


def latest(name: str, as_of: date, ids: np.ndarray | None = None) -> pa.Table:
    """The last version of each id known before as_of, ordered by id. ids (int64): only of these; then landings are
    opened from the newest back until each is found, so that ids which just appeared cost little."""
    if ids is None:
        return last_of_each(name, versions(name, as_of))
    key, found, wanted = table(name).key[0], [table(name).schema.empty_table()], np.unique(ids)
    for entry in reversed(lineage.landings(name, as_of)):
        manifest = lineage.landed(entry) if len(wanted) else None
        if manifest is None:
            break
        if not manifest.rows:
            continue
        rows = snapshot.read(manifest)
        known = rows["arrived_at"].cast(pa.int64()).to_numpy() < dates.midnight_us(as_of)
        rows = rows.filter(pa.array(known & np.isin(rows[key].to_numpy(), wanted)))
        found.append(last_of_each(name, rows.sort_by([(key, "ascending"), ("arrived_at", "ascending")])))
        wanted = np.setdiff1d(wanted, rows[key].to_numpy())
    return pa.concat_tables(found).sort_by(key)


def last_before(ids: np.ndarray, times_us: np.ndarray, version_ids: np.ndarray,
                version_times_us: np.ndarray) -> np.ndarray:
    """For each (id, t): the row number of the last version of that id with time strictly before t, or -1.

    ids, times_us: int64[N]. version_ids, version_times_us: int64[M], ordered by (id, time); of equal times the last
    row wins. Returns int64[N]. Nothing is dropped, nothing multiplied.
    """
    n, m = len(ids), len(version_ids)
    every_id = np.concatenate([ids, version_ids])
    every_time = np.concatenate([times_us, version_times_us])
    is_version = np.concatenate([np.zeros(n, np.int8), np.ones(m, np.int8)])
    order = np.lexsort((is_version, every_time, every_id))  # at equal times the asking row comes first
    row = np.where(order >= n, order - n, -1)
    newest = np.maximum.accumulate(row) if n + m else row
    found = np.full(n, -1, np.int64)
    asking = order < n
    found[order[asking]] = newest[asking]
    if m:
        found[version_ids[np.maximum(found, 0)] != ids] = -1
    return found


def original_ids(kind: str, ids: np.ndarray, as_of: date) -> list[str]:
    """The ids as the user's log wrote them, for int64 ids[N]; integers that were never strings stay themselves. Landings
    are opened from the newest back until each is found."""
    known: dict[int, str] = {}
    wanted = set(ids.tolist())
    for entry in reversed(lineage.landings("ids", as_of)):
        manifest = lineage.landed(entry) if wanted - known.keys() else None
        if manifest is None:
            break
        if manifest.rows:
            rows = snapshot.read(manifest)
            told = zip(rows["kind"].to_pylist(), rows["id"].to_pylist(), rows["original_id"].to_pylist(), strict=True)
            known |= {number: text for one, number, text in told if one == kind}
    return [known.get(value) or str(value) for value in ids.tolist()]
