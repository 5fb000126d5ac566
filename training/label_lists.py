"""The lists of the label days: as their nights would have made them, and in the middle of what users watched."""

import numpy as np

from funnel.candidates import CandidateRules
from funnel.neighbours import NeighbourRules
from funnel.night import Night, Users, with_features
from funnel.rewind import rewind
from lake import lineage
from lake.dates import midnight_us
from training import lists
from training.fitted import FittedRetrieval
from training.label_days import LabelDays, cut_at, cut_in_sitting
from training.lists import ListExamples

SITTINGS = 4
MOST_LISTS, FEWEST_LISTS = 10_000, 1_000
KEPT_PER_PLAY = 0.9


def make(night: Night, users: Users, days: LabelDays, fitted: FittedRetrieval, seed: int, near: NeighbourRules,
         rules: CandidateRules = lists.LIST_RULES) -> ListExamples:
    """Lists of the label days before night.as_of, at most 10,000, by a retrieval model that was fitted before these days.

    Each night brings a list of every user who was there before it and came later, all later plays alike; and until the next
    night those of users who came, cut in the middle of that, the next play counting most and each later one a tenth less;
    cut again, up to four times, until these are as many, or 1,000 in all where lists are fewer. Both know popularity and
    features of the night, and neighbours from histories as they were cut, made by the rules `near`. users: whole histories
    as of night.as_of. lineage.Missing when feature_snapshots of `days.nights` are not built.
    """
    windows, parts, random = days.windows(night.as_of), [], np.random.default_rng(seed)
    most, fewest = MOST_LISTS // (2 * len(windows)), FEWEST_LISTS // len(windows)
    for day, end in windows:
        manifest = lineage.resolve("feature_snapshots", day)
        known = cut_at(users, midnight_us(day))
        then = rewind(night, known, day)
        plays = lists.plays_of(users, users.event_us >= midnight_us(day))
        of_night = lists.make(then, with_features(known, manifest), plays, fitted, seed, near, rules, most)
        parts.append(of_night)
        left = min(max(of_night.size, fewest - of_night.size), most)
        for turn in range(SITTINGS):
            cut, after = cut_in_sitting(users, midnight_us(day), midnight_us(end), turn)
            plays = lists.plays_of(users, after, KEPT_PER_PLAY)
            sittings = lists.make(then, with_features(cut, manifest), plays, fitted, seed, near, rules, most)
            parts.append(lists.some(sittings, left, random))
            left -= parts[-1].size
            if not left:
                break
    return lists.together(parts)
