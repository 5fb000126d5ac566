"""What known logs look like: which file is which table, and what a row of it tells."""

from collections.abc import Callable
from pathlib import PurePosixPath

from lake import sources
from lake.cells import How
from lake.layout import Also, Layout
from lake.sources import File
from lake.tables import table


def nightreel(path: str) -> list[Layout]:
    """What jobs.simulate writes: events/, videos/ and users/ with the declared names."""
    found = []
    for name in ("events", "videos", "users"):
        folder = f"{path.rstrip('/')}/{name}"
        if sources.is_there(folder):
            columns = {column.name: column.name for column in table(f"raw_{name}").columns}
            found.append(Layout(f"raw_{name}", tuple(sources.find(folder)), columns))
    if not found or found[0].table != "raw_events":
        raise FileNotFoundError(f"{sources.shown(path)} has no folder events/, which preset nightreel needs")
    return found


def movielens(path: str) -> list[Layout]:
    """ratings and movies, .csv, .dat (`::`) or .parquet: a rating is a play, one of 4 or more is also a like.

    Source: the README of ml-latest (seconds since 1970 UTC; genres separated by `|`) and of ml-1m (.dat).
    """
    found = sources.find(path)
    ratings, movies = (_named(found, f"{name}.csv", f"{name}.dat", f"{name}.parquet") for name in ("ratings", "movies"))
    if not ratings:
        raise FileNotFoundError(f"{sources.shown(path)} has no ratings.csv, .dat or .parquet, which preset movielens needs")
    events = Layout(
        "raw_events", ratings[:1], {"user_id": "userId", "video_id": "movieId", "event_time": "timestamp"},
        How(time_unit="s"), {"event_type": "play"}, also=(Also("like", "rating", 4.0),),
        fields=("userId", "movieId", "rating", "timestamp"), arrival="assumed")
    videos = Layout("raw_videos", movies[:1], {"video_id": "movieId", "title": "title", "categories": "genres"},
                    How(no_categories="(no genres listed)"), fields=("movieId", "title", "genres"), arrival="derived")
    return [events, videos] if movies else [events]


def kuairand(path: str) -> list[Layout]:
    """log_standard*.csv and log_random*.csv: every row an impression; a click is a play with its watch time.

    Source: the README of KuaiRand. Times are milliseconds since 1970 UTC; the row's time, the same in every event that
    it tells, ties a play to its impression. Upload dates are days in China (UTC+8); `tag` holds category numbers.
    """
    found = sources.find(path)
    logs = _starting(found, "log_standard") + _starting(found, "log_random")
    if not logs:
        raise FileNotFoundError(f"{sources.shown(path)} has no log_standard_*.csv, which preset kuairand needs")
    events = Layout(
        "raw_events", logs, {"user_id": "user_id", "video_id": "video_id", "event_time": "time_ms",
                             "request_id": "time_ms", "watch_ms": "play_time_ms", "surface": "tab"},
        How(time_unit="ms"), {"event_type": "impression"}, arrival="assumed",
        also=tuple(Also(event_type, column, 1) for event_type, column in (
            ("play", "is_click"), ("like", "is_like"), ("share", "is_forward"), ("not_interested", "is_hate"))))
    videos = Layout("raw_videos", _starting(found, "video_features_basic"),
                    {"video_id": "video_id", "creator_id": "author_id", "duration_ms": "video_duration",
                     "published_at": "upload_dt", "categories": "tag"},
                    How(separator=",", dates_at_hours=8), arrival="derived")
    users = Layout("raw_users", _starting(found, "user_features"), {"user_id": "user_id"}, arrival="derived")
    return [layout for layout in (events, videos, users) if layout.files]


def _named(found: list[File], *names: str) -> tuple[File, ...]:
    return tuple(file for name in names for file in found if PurePosixPath(file.name).name == name)


def _starting(found: list[File], start: str) -> tuple[File, ...]:
    return tuple(file for file in found if PurePosixPath(file.name).name.startswith(start) and file.format == "csv")


PRESETS: dict[str, Callable[[str], list[Layout]]] = {
    "movielens": movielens, "kuairand": kuairand, "nightreel": nightreel}
