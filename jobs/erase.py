"""Erase a user from everything under NIGHTREEL_HOME, and show that nothing is left.

    python -m jobs.erase --user 4711 --accept-models      or --retrain, or neither when no model was trained on the user

--user is the id in your log. Landed rows, tables, histories, every release, caches, reports, logs and databases: what
landings and releases name gets successors (old → new in log/erasures), other tables go and are computed again when
needed; what a killed audit or replay left in the system's temporary folder goes. Run it while no night runs. Killed
anywhere, run it again. Exit 1: the scan at the end still found something.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from features.views import VIEWS
from jobs import push
from jobs.clean import remove
from jobs.command import run, say
from jobs.erase_files import Traces, erase_from, found_in
from lake import erasure, lineage, numbered_log, snapshot, storage, temporary
from lake.erasure import Person
from lake.refusal import Refusal
from publishing import erasure as releases
from publishing import retention
from publishing.retention import Rules

ACCEPT, RETRAIN = "accepted as they are", "to be trained again"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.erase", description=__doc__.splitlines()[0])
    parser.add_argument("--user", required=True, metavar="ID", help="the user's id in your log")
    decided = parser.add_mutually_exclusive_group()
    decided.add_argument("--accept-models", action="store_const", const=ACCEPT, dest="models",
                         help="weights that were trained on the user stay as they are")
    decided.add_argument("--retrain", action="store_const", const=RETRAIN, dest="models",
                         help="say which trainings to run again without the user")
    options = parser.parse_args(arguments)
    if not 0 < len(options.user) <= 1000 or not options.user.isprintable():
        parser.error("--user is an id of 1 to 1,000 printable characters")
    whom = _person(options.user)
    _models(whom, options.models)
    erase(whom)
    left = [(path, what) for folder in (storage.home(), *temporary.in_use())
            for path, what in scan(Traces(whom), folder) if what]
    for path, what in left[:20]:
        print(f"still there: {path}: {what}", file=sys.stderr)
    if left:
        sys.exit(f"{len(left)} files still tell of the user; end what writes to them, then run the same command again")
    say("erase: every file decoded and searched, nothing of the user is left")


def _person(original_id: str) -> Person:
    views = tuple(view.name for view in VIEWS if view.entity == "user_id")
    if not numbered_log.numbers("landing"):
        raise Refusal("nothing was landed, so there is nobody to erase")
    try:
        return erasure.person(original_id, views)
    except ValueError:
        raise Refusal(f"the users of this log have integer ids, and {original_id[:80]!r} is none") from None


def _models(whom: Person, decision: str | None) -> None:
    """List the models that learned from the user, and log what was decided about them. Refusal without a decision."""
    first = _first_arrival(whom)
    trained = [entry for entry in numbered_log.entries("promotions") if first is not None
               and date.fromisoformat(entry["as_of"]) > first]
    for entry in trained:
        version = entry.get("registered_version") or "not in MLflow then"
        say(f"model of {entry['as_of']}, version {version}, {entry['decision']}: trained on the user's rows; {decision or 'undecided'}")
    if trained and decision is None:
        raise Refusal(f"{len(trained)} models were trained on the user. Decide: --accept-models keeps their weights, "
                      "--retrain says which trainings to run again. Nothing was changed")
    if trained:
        numbered_log.append("erasures", lambda _: {"models": [entry["identity"] for entry in trained],
                                                   "decision": decision})
    if trained and decision == RETRAIN:
        newest = max(entry["as_of"] for entry in trained)
        say(f"afterwards, without the user: make train AS_OF={newest}")


def _first_arrival(whom: Person) -> date | None:
    """The day of the user's first landed row; None without one."""
    found = []
    for entry in lineage.landings("raw_events"):
        rows = snapshot.read(lineage.landed(entry), columns=["user_id", "arrived_at"])
        own = rows.filter(pc.equal(rows["user_id"], pa.scalar(whom.user_id)))
        found += [pc.min(own["arrived_at"]).as_py().date()] if own.num_rows else []
    return min(found, default=None)


def erase(whom: Person) -> None:
    """Take the user out of landings, releases, other tables and other files, in an order in which a kill leaves every
    listed release whole."""
    if left := temporary.remove_dead():
        say(f"erase: {len(left)} folders of audits or replays that were killed removed")
    for path, _, _ in retention.retired():
        storage.delete_file(path)
    landed = erasure.from_landings(whom)
    released, damaged = releases.from_releases(whom)
    others, unreadable = releases.unnamed(whom, releases.named())
    for manifest in others:
        remove(manifest)
    now = Rules(grace=Rules.grace * 0)
    for path, _ in retention.orphans(now):
        storage.delete_file(path)
    storage.delete_empty_folders(storage.join("lake"), now.since)
    rows = sum(change.old.rows - change.new.rows for change in landed)
    say(f"erase: {rows:,} landed rows out, {len(landed)} landed and {len(released)} released tables have successors, "
        f"{len(others)} other tables removed")
    for what in damaged + unreadable:
        say(f"damaged, not looked into: {what}")
    ours = tuple(storage.join(top) + "/" for top in ("lake", "log", "releases"))
    for path, what in scan(Traces(whom), storage.home()):
        if what and not path.startswith(ours):
            done = erase_from(path, storage.read_bytes(path), Traces(whom))
            say(f"  {path.removeprefix(storage.home()).lstrip('/')}: {done}")
    renewed = releases.renewed_live()
    if renewed:
        say(f"release {renewed.as_of}: release {renewed.number} is live, without the user")
    push.after_release()
    if os.environ.get("REDIS_URL"):
        from publishing import online_store

        online_store.forget(whom.original_id)


def scan(traces: Traces, folder: str) -> Iterator[tuple[str, str]]:
    """(path, what tells of the user in it) of every file below a folder."""
    for path, _, _ in sorted(storage.files(folder)):
        try:
            yield path, found_in(path, storage.read_bytes(path), traces)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, pa.ArrowException) as error:
            yield path, f"it can't be read ({type(error).__name__})"


if __name__ == "__main__":
    sys.exit(run(main))
