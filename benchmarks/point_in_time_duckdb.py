"""The benchmark's join by DuckDB: ASOF JOIN on running totals, one key after the other. ARGV: folder of the log, Parquet
file to write."""

import sys

import duckdb

WINDOWS = (1, 7, 30)


def totals(key: str, folder: str) -> str:
    """Events with their key's running count and sum, the row's own included."""
    return (f"CREATE OR REPLACE TABLE totals AS SELECT {key}, event_time, watch_ms, row_number() OVER w AS n, "
            f"(sum(watch_ms) OVER w)::BIGINT AS s FROM '{folder}/events/*.parquet' "
            f"WINDOW w AS (PARTITION BY {key} ORDER BY event_time ROWS UNBOUNDED PRECEDING)")


def with_key(rows: str, key: str) -> str:
    """The rows with the features of one key: one ASOF join at t, one at the start of each window."""
    name = key.removesuffix("_id")
    joins = [f"ASOF LEFT JOIN totals AS before ON l.{key} = before.{key} AND l.event_time > before.event_time"]
    columns = [f"before.watch_ms AS {name}_last"]
    for days in WINDOWS:
        joins.append(f"ASOF LEFT JOIN totals AS w{days} ON l.{key} = w{days}.{key} "
                     f"AND l.event_time - INTERVAL {days} DAY > w{days}.event_time")
        columns += [f"coalesce(before.n, 0) - coalesce(w{days}.n, 0) AS {name}_count_{days}d",
                    f"coalesce(before.s, 0) - coalesce(w{days}.s, 0) AS {name}_sum_{days}d"]
    return f"SELECT l.*, {', '.join(columns)} FROM {rows} AS l {' '.join(joins)}"


def main(folder: str, out: str) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    labels = f"'{folder}/labels.parquet'"
    connection.execute(totals("user_id", folder))
    connection.execute(f"CREATE TABLE by_user AS {with_key(labels, 'user_id')}")
    connection.execute(totals("video_id", folder))
    connection.execute(f"COPY ({with_key('by_user', 'video_id')}) TO '{out}' (FORMAT parquet)")


if __name__ == "__main__":
    main(*sys.argv[1:])
