"""Deduplication: the first arrival of an event wins."""

from datetime import date

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from features.frames import parts_for, read_frame, write_frame
from lake import dates, lineage
from lake.columns import EVENT
from lake.snapshot import Attempt, Manifest

_CONTENT = [column.name for column in EVENT if column.name not in ("event_id", "arrived_at")]


def write_events(session: SparkSession, attempt: Attempt, entry: dict, earlier: list[Manifest]) -> tuple[list, dict]:
    """Write the events of one landing without the rows that arrived before, in it or in earlier chunks.

    Rows with one event_id on one event day are the same event. Returns the files' accounts and the counts: `rows_in`,
    `duplicates`, `conflicts` (duplicates whose content differs from the row that won), and `by_day`: [event day,
    arrival day, impressions + plays] for every pair of days.
    """
    raw = lineage.landed(entry)
    ranked = _ranked(_with_earlier(session, raw, earlier)).cache()
    own = ranked.where("_earlier = 0")
    counts = own.agg(F.count(F.lit(1)).alias("rows_in"),
                     F.count_if(F.expr("_rank > 1")).alias("duplicates"),
                     F.count_if(F.expr("_rank > 1 and _conflict")).alias("conflicts")).first()
    kept = own.where("_rank = 1")
    parts = write_frame(kept, "events", attempt.folder, parts_for(raw.rows, session))
    by_day = _by_day(kept)
    ranked.unpersist()
    written = sum(part["rows"] for part in parts)
    if counts["rows_in"] != raw.rows or written + counts["duplicates"] != raw.rows:
        raise RuntimeError(f"events of landing {entry['start']}…{entry['end']}: {raw.rows} rows landed, but {written} "
                           f"kept + {counts['duplicates']} duplicates; rows were lost or multiplied")
    return parts, {**counts.asDict(), "by_day": by_day}


def _with_earlier(session: SparkSession, raw: Manifest, earlier: list[Manifest]) -> DataFrame:
    """The landed rows, beside those earlier events whose event day the landing touches."""
    event_day = F.to_date("event_time")
    landed = read_frame(session, "raw_events", [raw]).withColumn("_day", event_day).withColumn("_earlier", F.lit(0))
    bounds = raw.profile["columns"]["event_time"]
    if not earlier or "min" not in bounds:
        return landed
    first, last = (dates.day_of_us(bounds[side]) for side in ("min", "max"))
    touched = [m for m in earlier if _overlaps(m, dates.midnight_us(first), bounds["max"])]
    days = landed.select("_day").distinct()
    before = read_frame(session, "events", touched).withColumn("_day", event_day).where(
        F.col("_day").between(F.lit(first), F.lit(last))).join(F.broadcast(days), "_day", "left_semi")
    return landed.unionByName(before.withColumn("_earlier", F.lit(1)))


def _overlaps(manifest: Manifest, start_us: int, end_us: int) -> bool:
    bounds = manifest.profile["columns"]["event_time"]
    return "min" in bounds and bounds["min"] <= end_us + dates.DAY_US and bounds["max"] >= start_us


def _ranked(frame: DataFrame) -> DataFrame:
    """Rank 1 is the first arrival; equal arrivals are ordered by their content, so file order never matters."""
    order = Window.partitionBy("_day", "event_id").orderBy(F.desc("_earlier"), "arrived_at", *_CONTENT)
    content = F.struct(*_CONTENT)
    return frame.withColumn("_rank", F.row_number().over(order)).withColumn(
        "_conflict", ~content.eqNullSafe(F.first(content).over(order)))


def _by_day(kept: DataFrame) -> list[list]:
    counted = kept.where("event_type in ('impression', 'play')").groupBy(
        F.col("_day"), F.to_date("arrived_at").alias("arrival")).count().collect()
    return sorted([row["_day"].isoformat(), row["arrival"].isoformat(), row["count"]] for row in counted)


def label_start(manifests: list[Manifest], as_of: date, min_days: int, enough_rows: int) -> date:
    """The first label day: at least `min_days` before as_of and enough rows that had arrived, or all there is."""
    days: dict[date, int] = {}
    for manifest in manifests:
        for event_day, arrival, count in manifest.extra["by_day"]:
            if date.fromisoformat(arrival) < as_of:
                days[date.fromisoformat(event_day)] = days.get(date.fromisoformat(event_day), 0) + count
    total = 0
    for day in sorted(days, reverse=True):
        total += days[day]
        if total >= enough_rows and (as_of - day).days >= min_days:
            return day
    return min(days, default=as_of)
