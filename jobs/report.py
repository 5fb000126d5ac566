"""Write the report of a night's newest release, one page that stands alone, and GX's Data Docs of its checks.

    python -m jobs.report --as-of 2026-02-05 [--checks]

A night that was kept because a newer one was live has no page until somebody releases it. --checks prints what
validation said of every table of that date, refused ones too, and needs no release.
"""

import argparse
import sys
import time
from datetime import date

from jobs.command import day, run, say
from lake import lineage, snapshot
from lake.refusal import Refusal
from publishing import report
from publishing.release_file import Release, readable
from validation import docs


def checks(as_of: date) -> list[str]:
    """One line per table: how many checks held, and each that did not."""
    lines = []
    for told in docs.results_of([as_of]):
        wrong = [result for result in told["results"] if not result["passed"]]
        held = len(told["results"]) - len(wrong)
        lines.append(f"{told['table']} {told['as_of']}: {held} of {len(told['results'])} held")
        lines += [f"    {result['severity']}: {result['check']} is {result['observed']}, allowed {result['bound']}: "
                  f"{result['why']}" for result in wrong]
    return lines


def judged_dates(release: Release) -> list[date]:
    """The dates under which validation kept the results of a night: its own, and its newest chunks'."""
    found = {release.date}
    for name in lineage.CHUNKED:
        try:
            found |= {chunk.as_of for chunk in lineage.chunks(name, release.date)[-1:]}
        except (lineage.Missing, snapshot.Damaged):
            continue
    return sorted(found)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.report", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day)
    parser.add_argument("--checks", action="store_true", help="print what validation said, and nothing else")
    options = parser.parse_args(arguments)
    if options.checks:
        said = checks(options.as_of)
        for line in said or [f"nothing was validated as of {options.as_of}"]:
            say(line)
        return
    started = time.monotonic()
    release = report.newest_of(options.as_of)
    path = report.write(release) if release else "kept, not live, so without a page"
    site = docs.build(judged_dates(release or _kept(options.as_of)))
    say(f"report {options.as_of}: {path}, checks in {site}, {time.monotonic() - started:.1f} s")
    if release:
        _log(path, release)


def _kept(as_of: date) -> Release:
    """The night of a date that was kept. Refusal when there is none either."""
    found = [each for each in readable("kept") if each.date == as_of]
    if not found:
        raise Refusal(f"no release of {as_of} to report on; run: make night AS_OF={as_of}")
    return found[-1]


def _log(path: str, release: Release) -> None:
    """Attach the page to MLflow as far as it answers; the page stands without it."""
    from training import registry

    pinned = release.snapshots.get("model")
    try:
        registry.log_report(path, release.as_of, pinned.identity if pinned else None)
    except registry.Unavailable as error:
        say(f"report {release.as_of}: not in MLflow, run the same command again when it is back. {error}")


if __name__ == "__main__":
    sys.exit(run(main))
