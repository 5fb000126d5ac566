"""The days whose plays teach the ranker: the last ones before a fit, as many as a log needs.

Retrieval is fitted on what was known before them, and its lists are made for users as they were then. A busy log has
enough users who watch something in `horizon_days`: each is cut at the first midnight of those days. In a sparse log
(films rated once in years) the days are widened, and a user who came during them is cut in the middle of what he
watched there, since almost nobody was there before *and* after.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from funnel import ragged
from funnel.users import Users, cut_users
from lake.dates import DAY_US, midnight_us
from lake.hashing import splitmix64

ENOUGH_USERS = 300
LARGEST_SHARE = 0.25
FEWEST_KNOWN = 3


@dataclass(frozen=True)
class LabelDays:
    """Lists as of `days` before a fit. personal: users are cut within those days, not at their first midnight."""

    days: int
    personal: bool

    def start(self, as_of: date) -> date:
        """The midnight that retrieval, popularity and features of the lists know nothing after."""
        return as_of - timedelta(days=self.days)


def choose(users: Users, as_of: date, horizon_days: int) -> LabelDays:
    """Double the horizon until 300 users were there before and in these days, or a quarter of all plays is in them;
    never more than half of the log's span, so that retrieval has something to learn from before them."""
    end = midnight_us(as_of)
    longest = max(int((end - int(users.event_us.min(initial=end))) // (2 * DAY_US)), 1)
    days = min(horizon_days, longest)
    while True:
        start = end - days * DAY_US
        there = cut_at(users, np.full(users.size, start))
        if int(((np.diff(there.offsets) > 0) & (plays_in(users, start) > 0)).sum()) >= ENOUGH_USERS:
            return LabelDays(days, False)
        wider = (users.event_us >= end - 2 * days * DAY_US).mean() if len(users.event_us) else 1.0
        if wider > LARGEST_SHARE or 2 * days > longest:
            return LabelDays(days, True)
        days *= 2


def plays_in(users: Users, start_us: int) -> np.ndarray:
    """i64[U]: plays of the kept history at or after an instant."""
    return np.bincount(ragged.row_of(users.offsets)[users.event_us >= start_us], minlength=users.size)


def cut_at(users: Users, cuts_us: np.ndarray) -> Users:
    """Users as known strictly before an instant of each user's own: i64[U]."""
    return cut_users(users, cuts_us[ragged.row_of(users.offsets)])


def cuts(users: Users, as_of: date, chosen: LabelDays) -> np.ndarray:
    """i64[U]: when each user's list is made. Personal cuts fall, by hash of the user, between the first and the last
    play of the label days, after at least three known plays."""
    start = midnight_us(chosen.start(as_of))
    found = np.full(users.size, start)
    if not chosen.personal:
        return found
    for row in np.flatnonzero(plays_in(users, start) > 0):
        times = users.event_us[users.offsets[row]:users.offsets[row + 1]]
        first = max(int(np.searchsorted(times, start)), FEWEST_KNOWN)
        if first < len(times):
            place = first + int(splitmix64(users.user_ids[row:row + 1])[0] % np.uint64(len(times) - first))
            found[row] = times[place]
    return found
