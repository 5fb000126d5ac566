"""The layouts that `jobs.join --layouts FOLDER` makes of a person's own tables and keeps, so that a table is scattered and
sorted once for all the joins it is in.

A layout stands under a name that says what it was made from: the keys and columns that the views ask for, and name, size
and time of change of each of the table's files. Whatever changes there, another layout is made, and the old one goes.
"""

import os
import posixpath
import uuid
from collections.abc import Sequence
from dataclasses import replace

from pyarrow import fs

from features import join_sources, table_layout
from features.any_join import AnyView, columns_read
from features.frames import parts_of
from features.join_files import Spread
from features.join_sources import Source
from features.join_stages import Work
from features.own_views import LAKE_TABLES, OwnView
from features.table_layout import LayoutWork
from lake import storage
from lake.hashing import canonical_json, sha256_of

CORES = 16  # files are cut for so many, since how many Spark will have is not known before it has started


def places(views: Sequence[AnyView], folder: str) -> dict[str, str]:
    """Where the layout of each table of one's own, as it is now, lies or will lie. Not of a table that somebody laid out
    already. ValueError when a table has no files."""
    found = {}
    for name in dict.fromkeys(view.table for view in views if isinstance(view, OwnView) and view.table not in LAKE_TABLES):
        path = join_sources.absolute(name)
        if not join_sources.is_laid_out(path):
            files = [(file, storage.stamp(file)) for file in join_sources.files(path)]
            asked = _hash([path, list(_asked(_of(views, name)).items())])
            found[name] = f"{join_sources.absolute(folder)}/{asked}-{_hash(files)}"
    return found


def laid_out(work: Work, places: dict[str, str], spread: Spread) -> Work:
    """The work on layouts, made now where their places are empty."""
    for name, place in places.items():
        if not work.tables[name].layouts:
            _lay_out(place, work.tables[name], _of(work.views, name), spread)
            work = replace(work, tables=work.tables | {name: join_sources.of_path(place)})
    return work


def _lay_out(place: str, source: Source, views: Sequence[OwnView], spread: Spread) -> None:
    """Make a layout and put it at its place, where others of the same table have no use any more."""
    first = views[0]
    attempt = f"{place}.{uuid.uuid4().hex[:12]}.attempt"
    try:
        table_layout.run(LayoutWork(source, _asked(views), first.event_time, first.arrived_at, first.tiebreak, attempt,
                                    parts_of(source.rows, CORES)), spread)
        if not join_sources.is_laid_out(place):
            publish(f"{attempt}/laid", place)
    finally:
        storage.delete_folder(attempt)
    folder, name = posixpath.split(place)
    for other in storage.names(folder):
        if other.startswith(name.partition("-")[0]) and other != name and not other.endswith(".attempt"):
            storage.delete_folder(f"{folder}/{other}")


def publish(folder: str, out: str) -> None:
    """Make a folder of finished files appear under its name: at once on a local disk, file by file in an object store."""
    if storage.is_local(out):
        os.rename(folder, out)
        return
    source, inner = storage.filesystem(folder)
    target, wanted = storage.filesystem(out)
    fs.copy_files(inner, wanted, source_filesystem=source, destination_filesystem=target)


def _asked(views: Sequence[OwnView]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The keys that views look a table up by, and the columns that those of a key read."""
    return {key: tuple(columns_read([view for view in views if view.table_key == key]))
            for key in dict.fromkeys(view.table_key for view in views)}


def _of(views: Sequence[AnyView], table: str) -> list[OwnView]:
    return [view for view in views if isinstance(view, OwnView) and view.table == table]


def _hash(told: object) -> str:
    return sha256_of(canonical_json(told))[:16]
