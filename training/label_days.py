"""The days whose plays teach the ranker: the last ones before a fit, as many as a log needs.

Retrieval is fitted on what was known before them, and its lists are made for users as they were then. A busy log has
enough users who watch something in `horizon_days`: each is cut at the first midnight of those days. In a sparse log
(films rated once in years) the days are widened, and a user who came during them is cut in the middle of what he
watched there, since almost nobody was there before *and* after.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from funnel import ragged
from funnel.users import Users, cut_users
from lake.dates import DAY_US, midnight_us
from lake.hashing import splitmix64

FEWEST_USERS, SHARE_OF_USERS, MOST_NEEDED = 300, 0.25, 3000
LARGEST_SHARE = 0.25
FEWEST_KNOWN = 3
SITTING_ROUNDS, MIDNIGHT_ROUNDS = 4, 4
MANY_USERS = 500  # about 2,000 lists out of sittings: hidden layers can tell them from those of midnights


@dataclass(frozen=True)
class LabelDays:
    """Lists as of `days` before a fit. personal: users are cut within those days, not at their first midnight: in the
    middle of what they watched, and where many came, at midnights too."""

    days: int
    personal: bool
    many: bool = False

    def start(self, as_of: date) -> date:
        """The midnight that retrieval, popularity and features of the lists know nothing after."""
        return as_of - timedelta(days=self.days)


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
        there = cut_at(users, np.full(users.size, start))
        if int(((np.diff(there.offsets) > 0) & (plays_in(users, start) > 0)).sum()) >= enough:
            return LabelDays(days, False)
        wider = (users.event_us >= end - 2 * days * DAY_US).mean() if len(users.event_us) else 1.0
        if wider > LARGEST_SHARE or 2 * days > longest:
            return LabelDays(days, True, int((plays_in(users, start) > 0).sum()) >= MANY_USERS)
        days *= 2


def plays_in(users: Users, start_us: int) -> np.ndarray:
    """i64[U]: plays of the kept history at or after an instant."""
    return np.bincount(ragged.row_of(users.offsets)[users.event_us >= start_us], minlength=users.size)


def cut_at(users: Users, cuts_us: np.ndarray) -> Users:
    """Users as known strictly before an instant of each user's own, and asking then: i64[U]."""
    return replace(cut_users(users, cuts_us[ragged.row_of(users.offsets)]), asked_us=cuts_us)


def rounds(chosen: LabelDays) -> int:
    """How many lists each user gets: those with personal cuts are few, so each is cut several times."""
    return SITTING_ROUNDS + MIDNIGHT_ROUNDS * chosen.many if chosen.personal else 1


def in_sittings(chosen: LabelDays, turn: int) -> bool:
    """Whether the lists of a turn are cut in the middle of what users watched, which says what comes next; at midnights,
    as nights ask, they say what comes back."""
    return chosen.personal and turn < SITTING_ROUNDS


def cuts(users: Users, as_of: date, chosen: LabelDays, turn: int = 0) -> np.ndarray:
    """i64[U]: when each user's list is made. A personal cut is a play of the label days, by hash of user and turn: in
    sittings the play's own instant, after at least three known plays, else the midnight before it."""
    start = midnight_us(chosen.start(as_of))
    found = np.full(users.size, start)
    if not chosen.personal:
        return found
    sitting, later = in_sittings(chosen, turn), plays_in(users, start)
    length = np.diff(users.offsets)
    first = np.maximum(length - later, FEWEST_KNOWN if sitting else 0)
    rows = np.flatnonzero((later > 0) & (first < length))
    drawn = splitmix64(splitmix64(users.user_ids[rows]).view(np.int64) + turn)
    place = first[rows] + (drawn % (length - first)[rows].astype(np.uint64)).astype(np.int64)
    play_us = users.event_us[users.offsets[rows] + place]
    found[rows] = play_us if sitting else play_us // DAY_US * DAY_US
    return found
