"""Lay a table of your own out for the join, once for each key that it is joined by.

    python -m jobs.lay_out EVENTS --key user_id --key video_id --event-time event_time --arrived-at arrived_at --out LAID

LAID then stands as `table` in a view file: `python -m jobs.join` reads each key's rows where they lie, instead of
moving the whole table every time. EVENTS is a Parquet file or folder; LAID is a new folder, a copy of the table as it is
now.
"""

import argparse
import time
import uuid
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

from pyspark import SparkContext

from features import join_sources, table_layout
from features.frames import balanced_from_start, parts_of
from features.table_layout import LayoutWork
from jobs.command import run, say
from jobs.layouts import CORES, publish
from jobs.spark_context import begin, leave
from jobs.spark_workers import prepare
from lake import storage
from lake.refusal import Refusal

WORK = "features.table_layout"


def plan(options: argparse.Namespace, folder: str) -> LayoutWork:
    """The work, checked. ValueError before any of it is done."""
    source = join_sources.of_path(options.table)
    columns = tuple(options.columns.split(",") if options.columns else source.schema.names)
    work = LayoutWork(source, {tuple(key.split(",")): columns for key in options.key}, options.event_time,
                      options.arrived_at or options.event_time, tuple(options.tiebreak or ()), folder, 1)
    table_layout.check(work)
    return work


def execute(work: LayoutWork, starting: Future[SparkContext | None]) -> int:
    """Run the work under Spark; the number of rows."""
    return table_layout.run(replace(work, parts=parts_of(work.source.rows, CORES)), partial(balanced_from_start, starting))


def main(arguments: list[str]) -> None:
    """Parse, check, lay out, publish."""
    parser = argparse.ArgumentParser(prog="python -m jobs.lay_out", description=__doc__.splitlines()[0])
    parser.add_argument("table", metavar="TABLE", help="a Parquet file or folder")
    parser.add_argument("--key", required=True, action="append", metavar="COLUMN[,COLUMN…]",
                        help="what views look it up by; once for each key")
    parser.add_argument("--event-time", required=True, metavar="COLUMN")
    parser.add_argument("--arrived-at", metavar="COLUMN", help="when a row could be known; by default --event-time")
    parser.add_argument("--tiebreak", action="append", metavar="COLUMN", help="orders rows of one key and instant")
    parser.add_argument("--columns", metavar="COLUMN[,COLUMN…]",
                        help="what to keep besides key, times and tiebreak; by default everything")
    parser.add_argument("--out", required=True, metavar="LAID", help="a folder that does not exist yet")
    options = parser.parse_args(arguments)
    out = join_sources.absolute(options.out)
    if storage.exists(out):
        parser.error(f"{out} exists; remove it or name another --out")
    starting = begin("nightreel", WORK)
    started, folder = time.monotonic(), f"{out}.{uuid.uuid4().hex[:12]}.attempt"
    try:
        rows = execute(plan(options, folder), starting)
        publish(f"{folder}/laid", out)
    except ValueError as error:
        raise Refusal(str(error)) from error
    finally:
        storage.delete_folder(folder)
    say(f"lay_out {options.table}: {rows:,} rows by {', '.join(options.key)}, {time.monotonic() - started:.1f} s, in {out}")


if __name__ == "__main__":
    prepare(WORK)  # this process works as Spark's workers do until they are there
    leave(run(main))
