"""The benchmark's join by Polars: `join_asof` on running totals. ARGV: folder of the log, Parquet file to write."""

import sys

import polars as pl

DAY = 86_400_000_000
WINDOWS = (1, 7, 30)


def totals(events: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """Events by key and time with the key's running count and sum, the row's own included."""
    return (events.select(key, "event_time", "watch_ms").sort(key, "event_time")
            .with_columns(n=pl.int_range(1, pl.len() + 1).over(key), s=pl.col("watch_ms").cum_sum().over(key)))


def with_key(labels: pl.LazyFrame, events: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """The labels with the features of one key. A value at t comes from before t; a total up to t - w from before it."""
    before = totals(events, key).collect().lazy()
    name = key.removesuffix("_id")
    rows = labels.sort(key, "event_time")
    asof = {"by": key, "strategy": "backward", "allow_exact_matches": False, "check_sortedness": False}
    rows = rows.join_asof(before.rename({"watch_ms": f"{name}_last", "n": "n0", "s": "s0"}), on="event_time", **asof)
    for days in WINDOWS:
        rows = rows.with_columns(start=pl.col("event_time") - pl.duration(days=days)).join_asof(
            before.select(key, start="event_time", n1="n", s1="s"), on="start", **asof)
        rows = rows.with_columns(**{
            f"{name}_count_{days}d": pl.col("n0").fill_null(0) - pl.col("n1").fill_null(0),
            f"{name}_sum_{days}d": pl.col("s0").fill_null(0) - pl.col("s1").fill_null(0)}).drop("start", "n1", "s1")
    return rows.drop("n0", "s0")


def main(folder: str, out: str) -> None:
    events = pl.scan_parquet(f"{folder}/events/*.parquet")
    rows = pl.scan_parquet(f"{folder}/labels.parquet")
    for key in ("user_id", "video_id"):
        rows = with_key(rows, events, key)
    rows.collect().write_parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
