"""The leaks of the zoo: each a small patch to the source of a real stage.

A patch replaces one text in one function; when the stage has changed so that the text is no longer there, the zoo says
so instead of planting nothing. LATER is the day up to which a cheating training looks.
"""

from dataclasses import dataclass

LATER = "__import__('datetime').timedelta(days=7)"


@dataclass(frozen=True)
class Patch:
    """In `module.function`, `old` (once) becomes `new`."""

    module: str
    function: str
    old: str
    new: str


@dataclass(frozen=True)
class Leak:
    """A name, what a hurried engineer did, and the patches that do it."""

    name: str
    what: str
    patches: tuple[Patch, ...]


def _leak(name: str, what: str, *patches: tuple[str, str, str, str]) -> Leak:
    return Leak(name, what, tuple(Patch(*patch) for patch in patches))


LEAKS = (
    _leak("full-period popularity", "plays are counted over the whole log",
          ("features.windows", "write_popularity", "date(1900, 1, 1), as_of)", "date(1900, 1, 1), date(2900, 1, 1))"),
          ("features.windows", "popularity_rows", "tiles.filter(pa.array(known < day.days)), known[known < day.days]",
           "tiles, known")),
    _leak("target encoding on all data", "a video's play rate over all labels becomes a feature of each of them",
          ("features.join", "with_features", "    for name, values in features.items():\n",
           "    played = labels['played'].to_numpy(zero_copy_only=False)\n"
           "    _, of = np.unique(labels['video_id'].to_numpy(), return_inverse=True)\n"
           "    rate = np.bincount(of, played) * 1000 // np.maximum(np.bincount(of), 1)\n"
           "    features = features | {'video_play_count_28d': rate[of]}\n"
           "    for name, values in features.items():\n")),
    _leak("label window inside the feature window", "a label is joined with the snapshot of the midnight after it",
          ("features.join", "live_days", "(times_us - publish_lag_us - 1) // dates.DAY_US",
           "times_us // dates.DAY_US + 1")),
    _leak("<= for <", "what arrives at midnight still counts",
          ("features.windows", "window_rows", "(tiles.arrival_day < day)", "(tiles.arrival_day <= day)")),
    _leak("arrival ignored", "windows ask when it happened, not when it was known",
          ("features.windows", "window_rows", "(tiles.arrival_day < day) & ", "")),
    _leak("unstable tie order", "histories are ordered by time alone",
          ("features.histories", "history_rows", "    owner = np.searchsorted(user_ids, plays",
           "    plays = plays.take(pa.array(np.lexsort((-plays['event_id'].to_numpy(), "
           "plays['event_time'].cast(pa.int64()).to_numpy(), plays['user_id'].to_numpy()))))\n"
           "    owner = np.searchsorted(user_ids, plays")),
    _leak("random split", "a random fifth of all plays is held out instead of the last week",
          ("training.fitting", "load", "load_histories(as_of)",
           "__import__('funnel.users').users.cut_users(load_histories(as_of + " + LATER + "), "
           "np.where(np.random.default_rng(0).random(len(load_histories(as_of + " + LATER + ").video_ids)) < 0.2, "
           "-2**62, 2**62))")),
    _leak("cross-user split", "some users are trained on to the end, the others are judged",
          ("training.fitting", "load", "load_histories(as_of)",
           "(lambda later: __import__('funnel.users').users.cut_users(later, np.where("
           "np.repeat(later.user_ids % 2, np.diff(later.offsets)) == 0, 2**62, midnight_us(as_of))))"
           "(load_histories(as_of + " + LATER + "))")),
    _leak("vocabulary fitted on test", "ids that first appear in the held-out week have an embedding",
          ("training.fitting", "load", "known_videos(as_of)", "known_videos(as_of + " + LATER + ")"),
          ("training.vocabulary", "learn", "np.intersect1d(played_ids, videos.video_ids)", "videos.video_ids")),
    _leak("embedding trained past t", "the embedding starts from co-plays of the whole log",
          ("training.fitting", "fit_retrieval", "warm_start.find(histories,",
           "warm_start.find(sequences.of_users(load_histories(max(day for day, _ in snapshot.committed('histories'))), "
           "videos.video_ids, names, plan.length),")),
    _leak("index holds unpublished videos", "the night takes every video that the catalogue knows",
          ("funnel.night", "load_night", 'catalogue["eligible"].to_numpy()', "np.ones(catalogue.num_rows, bool)")),
    _leak("negatives from the future catalogue", "softmax is taken over videos that nobody could have been shown",
          ("training.fitting", "fit_retrieval", "loop.catalogue_of(videos, names",
           "loop.catalogue_of(known_videos(max(day for day, _ in snapshot.committed('catalogue'))), names"),
          ("training.fitting", "fit_retrieval", "sequences.of_users(users, videos.video_ids, names",
           "sequences.of_users(users, known_videos(max(day for day, _ in snapshot.committed('catalogue'))).video_ids, "
           "names")),
    _leak("calibration fitted on test", "the play head is calibrated with the answers of the held-out week",
          ("training.fitting", "learn", "    return Bundle(final, play, answers, near)",
           "    answers_of = lineage.resolve('training_examples', material.as_of + " + LATER + ")\n"
           "    rate = float(np.mean(snapshot.read(answers_of, ['played'])['played'].to_numpy(zero_copy_only=False)))\n"
           "    play = replace(play, calibration=replace(play.calibration, bias=float(np.log(rate / (1 - rate)))))\n"
           "    return Bundle(final, play, answers, near)")),
    _leak("late correction applied back", "labels carry what is known of a video today",
          ("features.labels", "with_video_facts", 'rows["event_time"].cast(pa.int64()).to_numpy()',
           "np.full(rows.num_rows, 2**62)")),
    _leak("user profile as of now", "histories carry the country that a user has today",
          ("features.histories", "write_histories", 'versions("raw_users", as_of, since)',
           'versions("raw_users", date(2900, 1, 1), since)'),
          ("features.histories", "write_histories", 'latest("raw_users", as_of,',
           'latest("raw_users", date(2900, 1, 1),')),
    _leak("session total that contains the target", "plays of the hour around a label count towards it",
          ("features.join", "with_features", "    for name, values in features.items():\n",
           "    hour = labels['event_time'].cast(pa.int64()).to_numpy() // 3_600_000_000\n"
           "    _, of = np.unique(np.stack([labels['user_id'].to_numpy(), hour]), axis=1, return_inverse=True)\n"
           "    total = np.bincount(of.ravel(), labels['played'].to_numpy(zero_copy_only=False)).astype(np.int64)\n"
           "    features = features | {'user_play_count_1d': features['user_play_count_1d'] + total[of.ravel()]}\n"
           "    for name, values in features.items():\n")),
    _leak("last telling wins", "a later row with a known event_id replaces the first",
          ("features.events", "deduplicate", '~earlier).astype(np.int8)', 'earlier).astype(np.int8)'),
          ("features.events", "deduplicate", 'keyed["_new"].to_numpy() == 1', 'keyed["_new"].to_numpy() == 0'),
          ("features.events", "deduplicate", '[(name, "ascending") for name in order]',
           '[(name, "descending" if name == "arrived_at" else "ascending") for name in order]')),
    _leak("likes of the future", "a play counts as liked when the like comes next week",
          ("features.histories", "newly_known", "wanted = known < dates.midnight_us(as_of)",
           "wanted = (known < dates.midnight_us(as_of)) | pc.equal(rows['event_type'], 'like').to_numpy()")),
    _leak("judged with histories of today", "the users that are judged are loaded as of the end of the held-out week",
          ("training.judging", "judged_users", "load_users(material.as_of)",
           "load_users(material.as_of + " + LATER + ")")),
    _leak("passes chosen on the held-out week", "early stopping looks at the plays that the model is judged on",
          ("training.fitting", "_validation", "plays.row, plays.video_ids",
           "*(lambda later: (evaluation.index_in(cut.user_ids, np.repeat(later.user_ids, np.diff(later.offsets))["
           "later.event_us >= night.as_of_us]), later.video_ids[later.event_us >= night.as_of_us]))("
           "load_histories(max(day for day, _ in snapshot.committed('histories'))))")),
)
