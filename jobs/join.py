"""Join views to any rows of keys and times, each with what could have been known strictly before it.

    python -m jobs.join --spine SPINE.parquet --views user,watched --out OUT [--view-file VIEWS.toml] [--time COLUMN]
                        [--layouts FOLDER]

Views are the nightly ones (user, video, creator, user_category, country_video) or yours, declared in --view-file
(docs/point-in-time.md). OUT is a new folder of Parquet files: the spine's rows, each once and in their order.
"""

import argparse
import time

from jobs.command import run, say
from jobs.spark_context import begin, leave
from jobs.spark_workers import prepare

WORK = "features.join_stages"


def _parts(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a number from 1 to 10000")
    return int(text)


def main(arguments: list[str]) -> None:
    """Parse, check, join, publish."""
    parser = argparse.ArgumentParser(prog="python -m jobs.join", description=__doc__.splitlines()[0])
    parser.add_argument("--spine", required=True, metavar="PATH", help="a Parquet file or folder of keys and times")
    parser.add_argument("--views", required=True, metavar="VIEW[,VIEW…]", help="what to join, in this order")
    parser.add_argument("--out", required=True, metavar="OUT", help="a folder that does not exist yet")
    parser.add_argument("--view-file", metavar="VIEWS.toml", help="declares views of your own")
    parser.add_argument("--time", default="event_time", metavar="COLUMN", help="the spine's instants (event_time)")
    parser.add_argument("--layouts", metavar="FOLDER", help="lay tables of your own out for the join, keep that here, "
                        "and use it as long as their files are unchanged")
    parser.add_argument("--parts", type=_parts, metavar="N",
                        help="pieces of work per view; by default from the rows. Changes no value")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    starting = begin("nightreel", WORK)
    from features import join_sources  # while Java starts
    from jobs import joining
    from lake import storage

    out = join_sources.absolute(options.out)
    try:
        views = joining.chosen_views(options.views, options.view_file)
    except ValueError as error:
        parser.error(str(error))
    if storage.exists(out):
        parser.error(f"{out} exists; remove it or name another --out")
    rows = joining.join(options, views, out, starting)
    say(f"join {options.views}: {rows:,} rows, {time.monotonic() - started:.1f} s, in {out}")


if __name__ == "__main__":
    prepare(WORK)  # this process works as Spark's workers do until they are there
    leave(run(main))
