"""One viewer as a person understands it: what was watched, what is recommended, and why, with titles."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from publishing.live import Loaded

HISTORY_COLUMNS = ["user_id", "video_ids", "event_times", "liked", "play_count", "country", "original_id"]


@dataclass(frozen=True)
class Watched:
    """One play: the video's title, when, and whether it was liked."""

    title: str
    at: datetime
    liked: bool


@dataclass(frozen=True)
class Recommended:
    """One row of a list."""

    rank: int
    video: str
    title: str
    categories: str
    score: float
    source: str
    reason: str


@dataclass(frozen=True)
class Person:
    """A viewer with the last plays, newest first, and the list. `own` is false for the list of everyone else."""

    original_id: str
    country: str
    play_count: int
    history: list[Watched]
    list: list[Recommended]
    own: bool


class People:
    """The viewers of a release. Titles and the ids people know are read once."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        catalogue = loaded.table("catalogue", ["video_id", "title", "categories", "original_id"]).sort_by("video_id")
        self._videos = catalogue["video_id"].to_numpy()
        self._catalogue = catalogue
        known = loaded.table("histories", ["user_id", "original_id", "play_count"]).sort_by("user_id")
        hidden = pa.array(loaded.release.tombstones["users"], pa.int64())
        self._known = known.filter(pc.invert(pc.is_in(known["user_id"], hidden)))

    def ids(self, original_id: str) -> int | None:
        """The id inside Nightreel of a viewer as the log calls them, None when the night does not know them."""
        found = self._known.filter(pc.equal(self._known["original_id"], original_id))["user_id"].to_pylist()
        return found[0] if found else None

    def sample(self, count: int) -> list[str]:
        """Viewers from the least to the most active, evenly spread: the same ones for the same release."""
        plays = self._known["play_count"].to_numpy()
        order = np.argsort(plays, kind="stable")
        places = np.unique(np.linspace(0, max(len(order) - 1, 0), count).round().astype(int)) if len(order) else []
        return [self._known["original_id"][int(order[place])].as_py() for place in places]

    def person(self, original_id: str, plays: int = 10) -> Person:
        """A viewer by the id of the log; one that the night does not know gets everyone's list."""
        user_id = self.ids(original_id)
        history = self._history(user_id) if user_id is not None else None
        country = (history or {}).get("country") or ""
        rows = self.loaded.recommendations(user_id) if user_id is not None else None
        own = rows is not None and rows.num_rows > 0
        shown = rows if rows is not None and own else self.loaded.fallback_for(country)
        return Person(original_id, country, (history or {}).get("play_count", 0), self._watched(history, plays),
                      [self._recommended(row) for row in shown.to_pylist()], own)

    def _history(self, user_id: int) -> dict:
        rows = self.loaded.table("histories", HISTORY_COLUMNS, user_id)
        return rows.filter(pc.equal(rows["user_id"], user_id)).to_pylist()[0]

    def _watched(self, history: dict | None, plays: int) -> list[Watched]:
        if history is None:
            return []
        last = zip(history["video_ids"], history["event_times"], history["liked"], strict=True)
        return [Watched(self.title(video)[0], at, liked) for video, at, liked in list(last)[::-1][:plays]]

    def _recommended(self, row: dict) -> Recommended:
        title, categories = self.title(row["video_id"])
        return Recommended(row["rank"], row["video_original_id"], title, categories, row["score"], row["source"],
                           row["reason"])

    def title(self, video_id: int) -> tuple[str, str]:
        """Title and categories of a video; its id where the log gives no title."""
        place = int(np.searchsorted(self._videos, video_id))
        if place == len(self._videos) or self._videos[place] != video_id:
            return f"video {video_id}", ""
        row = self._catalogue.slice(place, 1).to_pylist()[0]
        return row["title"] or f"video {row['original_id']}", ", ".join(row["categories"] or [])
