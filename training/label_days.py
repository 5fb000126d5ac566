"""The days whose plays teach the ranker: the last ones before a fit, as many as a log needs.

Retrieval is fitted on what was known before them. Its lists are made as nights of these days would have made them, and
in the middle of sittings: the first teach what people come back for, the second what they play next.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from funnel import ragged
from funnel.users import Users, cut_users, keep_plays
from lake.dates import DAY_US, midnight_us
from lake.hashing import splitmix64

FEWEST_USERS, SHARE_OF_USERS, MOST_NEEDED = 300, 0.25, 3000
LARGEST_SHARE = 0.25
FEWEST_KNOWN = 3
NIGHTS = 4


@dataclass(frozen=True)
class LabelDays:
    """sparse: too few users were there before a horizon of a night and in it. night_count: 4, or 1 where the first night
    alone asks enough users: the retrieval model of the lists is as fresh there as a night's, and older at later ones."""

    days: int
    sparse: bool = False
    night_count: int = NIGHTS

    def start(self, as_of: date) -> date:
        """The midnight that the retrieval model of the lists knows nothing after."""
        return as_of - timedelta(days=self.days)

    def nights(self, as_of: date) -> list[date]:
        """The midnights that lists are made at, evenly over the days; the first is their start."""
        count = min(self.night_count, self.days)
        return [self.start(as_of) + timedelta(days=n * self.days // count) for n in range(count)]

    def windows(self, as_of: date) -> list[tuple[date, date]]:
        """Each of these nights, and the end of its days: the next one, or as_of."""
        nights = self.nights(as_of)
        return list(zip(nights, [*nights[1:], as_of], strict=True))


def choose(users: Users, as_of: date, horizon_days: int) -> LabelDays:
    """Double the horizon until enough users were there before and in these days (300, and a quarter of all up to 3,000:
    fewer would say little about the rest), or a quarter of all plays is in them; never more than half of the log's
    span, so that retrieval has something to learn from before them."""
    end = midnight_us(as_of)
    enough = max(FEWEST_USERS, min(MOST_NEEDED, int(SHARE_OF_USERS * users.size)))
    longest = max(int((end - int(users.event_us.min(initial=end))) // (2 * DAY_US)), 1)
    days = min(horizon_days, longest)
    while True:
        start = end - days * DAY_US
        there = cut_at(users, start)
        asked = int(((np.diff(there.offsets) > 0) & (plays_in(users, start) > 0)).sum())
        if asked >= enough:
            return LabelDays(days, night_count=1 if asked >= MOST_NEEDED else NIGHTS)
        wider = (users.event_us >= end - 2 * days * DAY_US).mean() if len(users.event_us) else 1.0
        if wider > LARGEST_SHARE or 2 * days > longest:
            return LabelDays(days, True)
        days *= 2


def plays_in(users: Users, start_us: int) -> np.ndarray:
    """i64[U]: plays of the kept history at or after an instant."""
    return np.bincount(ragged.row_of(users.offsets)[users.event_us >= start_us], minlength=users.size)


def cut_at(users: Users, instant_us: int) -> Users:
    """Users as known strictly before an instant, and asking then."""
    return replace(cut_users(users, instant_us), asked_us=np.full(users.size, instant_us))


def cut_in_sitting(users: Users, start_us: int, end_us: int, turn: int) -> tuple[Users, np.ndarray]:
    """Users in the middle of what they played in [start_us, end_us), and bool[N]: the plays of the kept histories that
    come after, to the end of them.

    Each is cut at one of these plays, by hash of user and turn, after at least three known ones, and asks when it
    happens. What comes before it in the pinned order and had arrived by then is known, so a list may stand between plays of
    one instant, the lines of an invoice. Who has no such play is as known before start_us, with nothing after.
    """
    length = np.diff(users.offsets)
    cut, end = length - plays_in(users, start_us), length - plays_in(users, end_us)
    first, asked_us = np.maximum(cut, FEWEST_KNOWN), np.full(users.size, start_us - 1)
    rows = np.flatnonzero(first < end)
    drawn = splitmix64(splitmix64(users.user_ids[rows]).view(np.int64) + turn)
    cut[rows] = first[rows] + (drawn % (end - first)[rows].astype(np.uint64)).astype(np.int64)
    asked_us[rows] = users.event_us[users.offsets[rows] + cut[rows]]
    row = ragged.row_of(users.offsets)
    before = ragged.place_in_row(users.offsets) < cut[row]
    known = before & (users.arrived_us <= asked_us[row])
    return replace(keep_plays(users, known), asked_us=asked_us), ~before & (first < end)[row]
