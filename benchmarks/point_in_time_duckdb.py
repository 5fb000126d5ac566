"""The benchmark's join by DuckDB: ASOF JOIN on running totals. ARGV: folder of the log, Parquet file to write."""

import sys

import duckdb

WINDOWS = (1, 7, 30)


def query(folder: str, out: str) -> str:
    """Totals per key as views, then one ASOF join at t and one at the start of each window, for each key."""
    totals, joins, columns = [], [], []
    for key in ("user_id", "video_id"):
        name = key.removesuffix("_id")
        totals.append(f"{name}_totals AS MATERIALIZED (SELECT {key}, event_time, watch_ms, row_number() OVER w AS n, "
                      f"sum(watch_ms) OVER w AS s FROM '{folder}/events/*.parquet' WINDOW w AS "
                      f"(PARTITION BY {key} ORDER BY event_time ROWS UNBOUNDED PRECEDING))")
        joins.append(f"ASOF LEFT JOIN {name}_totals {name}0 ON l.{key} = {name}0.{key} "
                     f"AND l.event_time > {name}0.event_time")
        columns.append(f"{name}0.watch_ms AS {name}_last")
        for days in WINDOWS:
            ours = f"{name}{days}"
            joins.append(f"ASOF LEFT JOIN {name}_totals {ours} ON l.{key} = {ours}.{key} "
                         f"AND l.event_time - INTERVAL {days} DAY > {ours}.event_time")
            columns += [f"coalesce({name}0.n, 0) - coalesce({ours}.n, 0) AS {name}_count_{days}d",
                        f"(coalesce({name}0.s, 0) - coalesce({ours}.s, 0))::BIGINT AS {name}_sum_{days}d"]
    return (f"COPY (WITH {', '.join(totals)} SELECT l.*, {', '.join(columns)} FROM '{folder}/labels.parquet' l "
            f"{' '.join(joins)}) TO '{out}' (FORMAT parquet)")


def main(folder: str, out: str) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    connection.execute(query(folder, out))


if __name__ == "__main__":
    main(*sys.argv[1:])
