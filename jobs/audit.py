"""Prove that a night, or a training, knew nothing of its future; a difference fails the run.

    python -m jobs.audit --as-of 2026-02-05 [--k 50] [--active-days 28]     before the release of a night
    python -m jobs.audit --as-of 2026-02-02 --training [--holdout-days 7]   before a training

Poison: about 20,000 events of some users become a lake of their own, once as they are and once for each of three cuts
with another future (validation/poison.py), and the commands of the night recompute what was known at the cut: tables,
lists, the features of every label before it. A training fits its judged model with and without the held-out days.
Skew: a slice of what this lake serves is recomputed row by row from the log (validation/reference.py).
Exit 3 names the check, the view and the column; nothing is committed. What it can't see: docs/decisions/leak-audit.md
"""

import argparse
import sys
import time
from datetime import timedelta

from jobs import audit_poison, audit_served, audit_slice, audit_training, audit_worlds
from jobs.command import day, run, say
from lake import lineage, storage
from lake.hashing import canonical_json
from lake.refusal import Refusal
from lake.tables import WINDOWS_DAYS, table
from training import needs
from validation.differences import told

_DEFAULTS = table("recommendations").parameters
LABEL_DAYS = 32


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.audit", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day, help="the night or the training's day, YYYY-MM-DD")
    parser.add_argument("--k", type=int, default=_DEFAULTS["k"], help="rows per list of the night")
    parser.add_argument("--active-days", type=int, default=_DEFAULTS["active_days"], help="as the night has it")
    parser.add_argument("--training", action="store_true", help="audit a training instead of a night")
    parser.add_argument("--holdout-days", type=int, default=needs.HOLDOUT_DAYS, choices=range(1, 366), metavar="DAYS",
                        help="as the training has it")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    lineage.require_sealed(options.as_of)
    sample = audit_worlds.sample(options.as_of)
    if not sample.events.num_rows:
        say(f"audit {options.as_of}: no events had arrived, so there is nothing to audit")
        return
    records = audit_worlds.with_ties(sample)
    findings = [_skew(options, sample), *audit_poison.findings(records, options.as_of, options.training)]
    if options.training:
        findings += audit_training.findings(records, options.as_of, options.holdout_days)
    _report(options, findings, time.monotonic() - started)


def _skew(options: argparse.Namespace, sample: audit_worlds.Records) -> audit_poison.Finding:
    """The live lake against the reference."""
    as_of, days = options.as_of, max(WINDOWS_DAYS) + (LABEL_DAYS if options.training else 0)
    asked = audit_slice.drawn(as_of, sample.events, as_of - timedelta(days=days))
    found, compared = audit_served.differences(as_of, asked)
    if options.training:
        more, values = audit_served.label_differences(as_of, asked)
    else:
        more, values = audit_served.list_differences(as_of, asked, options.k, options.active_days)
    return audit_poison.Finding("skew", f"{compared + values:,} values of {len(asked.user_ids)} users, "
                                f"{len(asked.video_ids)} videos and {len(asked.creator_ids)} creators", found + more)


def _report(options: argparse.Namespace, findings: list[audit_poison.Finding], seconds: float) -> None:
    what = "training" if options.training else "night"
    storage.write_bytes(storage.join("audits", f"{options.as_of}-{what}.json"), canonical_json({
        "as_of": options.as_of.isoformat(), "what": what, "seconds": round(seconds, 1),
        "findings": [{"check": one.check, "compared": one.compared, "differs": told(one.differences)}
                     for one in findings]}))
    for one in findings:
        say(f"  {'DIFFERS' if one.differences else 'equal':8}{one.check}: {one.compared}")
    wrong = [f"  {one.check}: {told(one.differences)}" for one in findings if one.differences]
    if wrong:
        raise Refusal(
            f"the {what} of {options.as_of} fails its leak audit: what was known before a moment depends on what came "
            "after it, or what is served is not what the log says\n" + "\n".join(wrong) + "\nLook at the code that "
            f"makes the first table named, mend it, raise its version in lake/tables.py, and run again: "
            f"python -m jobs.audit --as-of {options.as_of}{' --training' if options.training else ''}")
    say(f"audit {options.as_of}: the {what} knew nothing of its future, {seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(run(main))
