"""What public logs look like: which file is which table, and what a row of it tells."""

from collections.abc import Callable
from pathlib import PurePath

from lake import sources
from lake.cells import How
from lake.layout import Also, Layout
from lake.sources import File, Refused
from lake.tables import table


def plain(name: str, path: str, renamed: dict[str, str], how: How, arrival: str) -> Layout:
    """Files whose columns have the declared names, but for those that were renamed with --map."""
    columns = {column.name: renamed.get(column.name, column.name) for column in table(name).columns}
    if arrival == "assumed":
        del columns["arrived_at"]
    return Layout(name, tuple(sources.find(path)), columns, how, arrival=arrival)


def nightreel(path: str) -> list[Layout]:
    """What jobs.simulate writes: events/, videos/ and users/ with the declared names."""
    layouts = [plain(f"raw_{name}", f"{path.rstrip('/')}/{name}", {}, How(), "log")
               for name in ("events", "videos", "users") if sources.is_there(f"{path.rstrip('/')}/{name}")]
    if not layouts or layouts[0].table != "raw_events":
        raise Refused(f"{PurePath(path).name}: preset nightreel needs a folder events/ in it")
    return layouts


def movielens(path: str) -> list[Layout]:
    """ratings and movies, .csv or .dat (`::`): a rating is a play, one of 4 or more is also a like.

    Source: the README of ml-latest (seconds since 1970 UTC; genres separated by `|`) and of ml-1m (.dat).
    """
    found = sources.find(path)
    ratings, movies = _pick(found, "ratings", ".csv", ".dat"), _pick(found, "movies", ".csv", ".dat")
    if not ratings:
        raise Refused(f"{PurePath(path).name}: preset movielens needs ratings.csv or ratings.dat in it")
    events = Layout(
        "raw_events", ratings[:1], {"user_id": "userId", "video_id": "movieId", "event_time": "timestamp"},
        How(time_unit="s"), {"event_type": "play"}, (Also("like", "rating", 4.0),),
        ("userId", "movieId", "rating", "timestamp"), "assumed")
    videos = Layout("raw_videos", movies[:1], {"video_id": "movieId", "title": "title", "categories": "genres"},
                    How(separator="|"), fields=("movieId", "title", "genres"), arrival="derived")
    return [events, videos] if movies else [events]


def kuairand(path: str) -> list[Layout]:
    """log_standard*.csv and log_random*.csv: every row an impression; a click is a play with its watch time.

    Source: the README of KuaiRand. Upload dates are days in China (UTC+8); `tag` holds category numbers.
    """
    found = sources.find(path)
    logs = _pick(found, "log_standard", ".csv", ".csv.gz") + _pick(found, "log_random", ".csv", ".csv.gz")
    if not logs:
        raise Refused(f"{PurePath(path).name}: preset kuairand needs log_standard_*.csv or log_random_*.csv in it")
    events = Layout(
        "raw_events", logs, {"user_id": "user_id", "video_id": "video_id", "event_time": "time_ms",
                             "request_id": "time_ms", "watch_ms": "play_time_ms", "surface": "tab"},
        How(time_unit="ms"), {"event_type": "impression"},
        tuple(Also(event_type, column, 1.0) for event_type, column in (
            ("play", "is_click"), ("like", "is_like"), ("share", "is_forward"), ("not_interested", "is_hate"))),
        arrival="assumed")
    videos = Layout("raw_videos", _pick(found, "video_features_basic", ".csv", ".csv.gz"),
                    {"video_id": "video_id", "creator_id": "author_id", "duration_ms": "video_duration",
                     "published_at": "upload_dt", "categories": "tag"},
                    How(separator=",", dates_at_hours=8), arrival="derived")
    users = Layout("raw_users", _pick(found, "user_features", ".csv", ".csv.gz"), {"user_id": "user_id"},
                   arrival="derived")
    return [layout for layout in (events, videos, users) if layout.files]


def _pick(found: list[File], start: str, *suffixes: str) -> tuple[File, ...]:
    return tuple(file for suffix in suffixes for file in found
                 if PurePath(file.name).name.startswith(start) and file.name.endswith(suffix))


PRESETS: dict[str, Callable[[str], list[Layout]]] = {
    "movielens": movielens, "kuairand": kuairand, "nightreel": nightreel}
