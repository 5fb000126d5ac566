"""What `python -m jobs.join` does once its arguments are read: the work checked, then run under Spark, then published."""

import argparse
import uuid
from concurrent.futures import Future
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

from pyspark import SparkContext

from features import join_sources, join_stages
from features.any_join import AnyView, require
from features.frames import balanced_from_start, parts_of
from features.join_sources import Source
from features.join_stages import Work
from features.own_views import LAKE_TABLES, OwnView, read_views
from features.views import VIEWS, FeatureView, view
from jobs import layouts
from lake import dates, lineage, storage
from lake.lineage import Missing
from lake.refusal import Refusal
from lake.snapshot import Manifest


def join(options: argparse.Namespace, views: tuple[AnyView, ...], out: str, starting: Future[SparkContext | None]) -> int:
    """Join the spine into the new folder `out`, on a context that is still starting; the number of rows. Refusal or
    Missing says what can't be joined."""
    folder = f"{out}.{uuid.uuid4().hex[:12]}.attempt"
    try:
        places = layouts.places(views, options.layouts) if options.layouts else {}
        rows = execute(plan(options, views, places, folder), places, options.parts, starting)
        layouts.publish(f"{folder}/joined", out)
    except ValueError as error:
        raise Refusal(str(error)) from error
    finally:
        storage.delete_folder(folder)
    return rows


def chosen_views(names: str, view_file: str | None) -> tuple[AnyView, ...]:
    """The named views in the order given. ValueError names what is known."""
    own: dict[str, OwnView] = {}
    if view_file:
        try:
            own = read_views(storage.read_bytes(join_sources.absolute(view_file)))
        except OSError as error:
            raise ValueError(f"{view_file} can't be read: {error}") from error
    nightly = [declared.name for declared in VIEWS]
    if taken := sorted(set(own) & set(nightly)):
        raise ValueError(f"{view_file}: {', '.join(taken)} is the name of a nightly view; choose another")
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",")))
    if unknown := [name for name in wanted if name not in own and name not in nightly]:
        raise ValueError(f"no view {', '.join(map(repr, unknown))}; known: {', '.join([*nightly, *own])}"
                         + ("" if view_file else "; views of your own come with --view-file"))
    return tuple(own[name] if name in own else view(name) for name in wanted)


def live_snapshots(days: list[date]) -> dict[date, Manifest | None]:
    """The feature snapshot of each date, None for those before anything had arrived. Missing names every date that is
    not built and the one command that builds them."""
    found: dict[date, Manifest | None] = {}
    missing = []
    for day in days:
        try:
            found[day] = lineage.resolve("feature_snapshots", day) if lineage.landings("raw_events", day) else None
        except Missing:
            missing.append(day)
    if missing:
        named = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
        raise Missing(f"{len(missing)} feature snapshots that were live for the spine are not built: {named}; run: "
                      f"python -m jobs.build events tiles feature_snapshots --from {missing[0]} --as-of {missing[-1]}")
    return found


def open_tables(views: tuple[AnyView, ...], last_us: int | None, places: dict[str, str]) -> dict[str, Source]:
    """The tables of the views, those of one's own from their layout where it is kept. Of the lake all that arrived before
    the end of the spine's last day."""
    as_of = dates.day_of_us(last_us - 1) + timedelta(days=1) if last_us is not None else None
    return {name: _open(places.get(name, name), name, as_of) for name in dict.fromkeys(
        v.table for v in views if isinstance(v, OwnView))}


def _open(place: str, name: str, as_of: date | None) -> Source:
    if name not in LAKE_TABLES:
        return join_sources.of_path(place if join_sources.is_laid_out(place) else name)
    if as_of is None:
        return join_sources.nothing(name, lineage.table(name).schema)
    return join_sources.of_lake(name, as_of)


def plan(options: argparse.Namespace, views: tuple[AnyView, ...], places: dict[str, str], folder: str) -> Work:
    """The work, checked. ValueError or Missing before any of it is done. places: where layouts of tables are kept."""
    spine = join_sources.of_path(options.spine)
    require(spine.schema, [options.time], options.spine)
    last_us, days = join_stages.instants_asked(spine, options.time, views)
    tables = open_tables(views, last_us, places)
    of_lake = any(isinstance(v, FeatureView) or v.table in LAKE_TABLES for v in views)
    work = Work(spine, options.time, views, tables, live_snapshots(days), join_sources.id_types() if of_lake else {},
                folder, options.parts or 1)
    join_stages.check(work)
    return work


def execute(work: Work, places: dict[str, str], parts: int | None, starting: Future[SparkContext | None]) -> int:
    """Run the work under Spark, on layouts made first where their places are empty; the number of rows written."""
    spread = partial(balanced_from_start, starting)
    work = layouts.laid_out(work, places, spread)
    most = max([work.spine.rows, *(work.spine.rows + table.rows for table in work.tables.values())])
    return join_stages.run(replace(work, parts=parts or parts_of(most, layouts.CORES)), spread)
