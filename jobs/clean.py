"""Remove what no release and no night to come needs, and say what went.

    python -m jobs.clean [--keep 30] [--grace-hours 48] [--dry-run]

Stays: the live release, pinned ones (`python -m jobs.releases --pin N`) and the newest --keep with all they name;
everything landed, its events and tiles; the models of the promotion log; the newest labels and the feature snapshots
they saw; whatever is as new as the live release. A release first leaves the list; its tables go with the first clean-up
more than --grace-hours later, so that readers finish. Safe beside nights and readers, and when killed: run it again.
"""

import argparse
import sys
from collections import defaultdict
from datetime import timedelta

from jobs.command import run, say
from lake import snapshot, storage
from lake.snapshot import Manifest
from publishing import retention
from publishing.retention import Rules
from validation import gate


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.clean", description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=int, default=Rules.keep, metavar="N", help="releases that stay, from 1")
    parser.add_argument("--grace-hours", type=float, default=Rules.grace / timedelta(hours=1), metavar="HOURS",
                        help="how long what nothing names stays, for readers and attempts that still run; 0 only "
                             "while nothing else runs")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    options = parser.parse_args(arguments)
    if options.keep < 1 or not 0 <= options.grace_hours <= 24 * 366:
        parser.error("--keep is 1 or more, --grace-hours 0 to 8784")
    clean(Rules(options.keep, timedelta(hours=options.grace_hours)), options.dry_run)


def clean(rules: Rules, dry_run: bool = False) -> None:
    """Retire, remove, sweep, in an order in which a kill leaves nothing that names what is gone."""
    going = retention.to_retire(rules)
    for log, number in () if dry_run else going:
        retention.retire(log, number)
    garbage = retention.garbage(rules, set(going))
    for manifest in () if dry_run else garbage:
        remove(manifest)
    orphans = retention.orphans(rules)
    if not dry_run:
        for path, _ in orphans:
            storage.delete_file(path)
        for path in retention.expired(rules):
            storage.delete_file(path)
        storage.delete_empty_folders(storage.join("lake"), rules.since)
    tell(rules, going, garbage, orphans, "would go" if dry_run else "removed")


def remove(manifest: Manifest) -> None:
    """A snapshot and what validation said of it."""
    folder = gate.results_folder(manifest.as_of.isoformat())
    storage.delete_file(f"{folder}/{manifest.table}-{manifest.identity[:16]}.json")
    snapshot.remove(manifest)


def tell(rules: Rules, going: list[tuple[str, int]], garbage: list[Manifest], orphans: list[tuple[str, int]],
         how: str) -> None:
    by_table: dict[str, list[Manifest]] = defaultdict(list)
    for manifest in garbage:
        by_table[manifest.table].append(manifest)
    for name, found in by_table.items():
        days = f"{found[0].as_of} … {found[-1].as_of}"
        say(f"  {name:18} {len(found):>6,} snapshots of {days}, {_size(found):>15,} bytes")
    if orphans:
        say(f"  {'left by kills':18} {len(orphans):>6,} files, {sum(size for _, size in orphans):>15,} bytes")
    numbers = sorted(number for log, number in going if log == "releases")
    if going:
        named = f" ({numbers[0]} … {numbers[-1]})" if numbers else ""
        aside = len(going) - len(numbers)
        say(f"  {'retired':18} {len(numbers):>6,} releases{named}, {aside} kept nights; their tables go "
            f"{rules.grace / timedelta(hours=1):g} h from now at the earliest")
    total = _size(garbage) + sum(size for _, size in orphans)
    say(f"clean: {len(garbage):,} snapshots and {len(orphans):,} other files {how}, {total:,} bytes")


def _size(found: list[Manifest]) -> int:
    return sum(file["size"] for manifest in found for file in manifest.files)


if __name__ == "__main__":
    sys.exit(run(main))
