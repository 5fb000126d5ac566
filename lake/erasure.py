"""Taking a user out of snapshots: a successor without the user's rows takes a snapshot's place.

A successor is a snapshot like any other: its inputs are those of the old one, with old content hashes replaced by those
of their successors, and `succeeds`, the content hash it takes the place of. Nothing in it tells who was erased.
"""

import json
import re
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from lake import numbered_log, snapshot, writing
from lake.hashing import bucket_of, id_of_string
from lake.snapshot import Manifest, Plan
from lake.tables import TABLES, table


@dataclass(frozen=True)
class Person:
    """One user: the id inside Nightreel, the id in the log, and the feature views whose entity is a user."""

    user_id: int
    original_id: str
    views: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """A snapshot and what took its place."""

    old: Manifest
    new: Manifest

    def as_json(self) -> dict:
        return {"table": self.old.table, "as_of": self.old.as_of.isoformat(), "rows": self.old.rows - self.new.rows,
                "old": {"identity": self.old.identity, "content_hash": self.old.content_hash},
                "new": {"identity": self.new.identity, "content_hash": self.new.content_hash}}


def person(original_id: str, views: tuple[str, ...]) -> Person:
    """The user of an id in the log. ValueError when the log's users have integer ids and this is none."""
    types = [entry["id_types"].get("user") for entry in numbered_log.entries("landing")]
    if "string" in types:
        return Person(id_of_string(original_id), original_id, views)
    return Person(int(original_id), str(int(original_id)), views)


def _columns(name: str) -> list[str]:
    """The columns that tell whose a row is; empty for tables without users."""
    names = table(name).schema.names
    of_users = {"ids": ["kind", "id"], "quarantine": ["content"]}
    if name in of_users:
        return of_users[name]
    return ["user_id"] if "user_id" in names else ["view", "entity_id"] if "entity_id" in names else []


TABLES_OF_USERS = tuple(declared.name for declared in TABLES if declared.columns and _columns(declared.name))


def of_person(name: str, rows: pa.Table, whom: Person) -> pa.Array:
    """Which rows of a table are the user's (bool)."""
    columns = _columns(name)
    if columns == ["user_id"]:
        return pc.equal(rows["user_id"], whom.user_id)
    if columns == ["view", "entity_id"]:
        return pc.and_(pc.is_in(rows["view"], pa.array(whom.views)), pc.equal(rows["entity_id"], whom.user_id))
    if columns == ["kind", "id"]:
        return pc.and_(pc.equal(rows["kind"], "user"), pc.equal(rows["id"], whom.user_id))
    return pa.array([_tells(content, whom) for content in rows["content"].to_pylist()], pa.bool_())


def _tells(content: str, whom: Person) -> bool:
    """Whether a quarantined row, JSON that may be cut, has the user's id as one of its cells."""
    try:
        return any(str(value) == whom.original_id for value in json.loads(content).values())
    except ValueError:
        return re.search(rf'(?<![\w-]){re.escape(whom.original_id)}(?![\w-])', content) is not None


def rows_of_person(manifest: Manifest, whom: Person) -> int:
    """How many rows of a snapshot are the user's."""
    columns = _columns(manifest.table)
    if manifest.table not in TABLES_OF_USERS:
        return 0
    own = table(manifest.table).bucket_by in ("user_id", "entity_id")
    buckets = bucket_of(pa.array([whom.user_id], pa.int64()).to_numpy()).tolist() if own else None
    rows = snapshot.read(manifest, columns=columns, buckets=buckets)
    return pc.sum(of_person(manifest.table, rows, whom)).as_py() or 0


def successor(manifest: Manifest, whom: Person, hashes: dict[str, str]) -> Change | None:
    """Write what takes a snapshot's place; None when it holds no row of the user and all its inputs stayed.

    hashes: old content hash → that of its successor.
    """
    inputs = {name: hashes.get(value, value) for name, value in manifest.inputs.items()}
    if inputs == manifest.inputs and not rows_of_person(manifest, whom):
        return None
    plan = Plan(manifest.table, manifest.as_of, manifest.parameters, inputs | {"succeeds": manifest.content_hash})
    found = writing.reuse(plan)
    if found is None:
        with writing.attempt_at(plan) as attempt:
            parts = [_part(manifest, n, whom, attempt.folder) for n in range(len(manifest.files))]
            writing.commit(attempt, parts, manifest.checks, manifest.extra, manifest.recorded)
        found = snapshot.load(plan.table, plan.as_of, plan.identity)
    return Change(manifest, found)


def _part(manifest: Manifest, number: int, whom: Person, folder: str) -> dict:
    buckets = [bucket for group in manifest.files[number]["row_groups"] for bucket in group]
    rows = snapshot.read(manifest, buckets=buckets)
    kept = rows.filter(pc.invert(of_person(manifest.table, rows, whom)))
    return writing.write_part(manifest.table, folder, kept, f"part-{number:05d}")


def from_landings(whom: Person) -> list[Change]:
    """Take a user out of everything landed. Each entry of the landing log changes in one step, after its successors
    exist and the mapping is in log/erasures."""
    changes = []
    for entry in numbered_log.entries("landing"):
        found = {}
        for told in entry["tables"]:
            manifest = snapshot.load(told["table"], date.fromisoformat(told["end"]), told["identity"])
            if change := successor(manifest, whom, {}):
                found[told["identity"]] = change
        if found:
            remember([*found.values()], f"landing {entry['number']}")
            tables = [_told(told, found.get(told["identity"])) for told in entry["tables"]]
            numbered_log.rewrite("landing", {**entry, "tables": tables})
            changes += found.values()
    return changes


def _told(told: dict, change: Change | None) -> dict:
    if change is None:
        return told
    return told | {"identity": change.new.identity, "content_hash": change.new.content_hash, "rows": change.new.rows,
                   "erased": told.get("erased", 0) + change.old.rows - change.new.rows}


def remember(changes: list[Change], where: str) -> None:
    """Log which snapshots take the place of which, before anything names them."""
    numbered_log.append("erasures", lambda _: {"where": where, "changes": [change.as_json() for change in changes]})
