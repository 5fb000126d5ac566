"""One whole fit of the funnel as of a date: retrieval before the label days, lists, ranker, then retrieval to the end.

    fitted on plays before the label days → lists of those days → ranker;  fitted on everything → what is used

The first of the two retrieval fits stops early by the label days' NDCG@10 (only the number of passes is taken from
them); the second, and a later refit, run as many passes. So nothing in a ranker's lists knew what it is asked.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar

import numpy as np
import torch

from funnel.neighbours import NeighbourRules
from funnel.night import Night, load_histories, load_night
from funnel.rewind import rewind
from funnel.users import Users
from lake import lineage, snapshot
from lake.dates import midnight_us
from training import (
    evaluation,
    label_days,
    label_lists,
    lists,
    loop,
    neighbour_choice,
    ranker,
    response,
    sequences,
    settings,
    vocabulary,
    warm_start,
)
from training.bundle import Bundle
from training.fitted import FittedRetrieval
from training.known_videos import KnownVideos, known_videos
from training.label_days import LabelDays
from training.lists import ListExamples
from training.progress import Report
from training.retrieval import Retrieval
from training.settings import RankerSettings, RetrievalSettings

VALIDATION_USERS = 2_000
Planned = TypeVar("Planned", RetrievalSettings, RankerSettings)


@dataclass(frozen=True, eq=False)
class Material:
    """What a fit as of a date reads: histories without features, every known video, and the night."""

    as_of: date
    users: Users
    videos: KnownVideos
    night: Night


@dataclass(frozen=True)
class Chosen:
    """What the judged fit found out and a refit repeats."""

    retrieval: RetrievalSettings
    ranker: RankerSettings
    neighbours: NeighbourRules
    response_epochs: int | None


def load(as_of: date) -> Material:
    """lineage.Missing names what to build."""
    return Material(as_of, load_histories(as_of), known_videos(as_of), load_night(as_of))


def fit(material: Material, days: LabelDays, chosen: Chosen | None, earlier: FittedRetrieval | None,
        report: Report, passes: int | None = None) -> tuple[Bundle, Chosen]:
    """Fit retrieval and ranker. chosen: None to search. earlier: a retrieval model fitted as of the label days' start,
    where there is one already. passes: a search ends after so many, where a rough model will do. On a CPU, one thread:
    matrices are so small that more of them mostly wait for each other, and sums keep their order on any number of
    cores."""
    torch.set_num_threads(1)
    start, users = days.start(material.as_of), material.users
    before = label_days.cut_at(users, midnight_us(start))
    plan = chosen.retrieval if chosen else at_most(passes, settings.retrieval_settings(
        len(users.video_ids), users.size, len(material.videos.video_ids)))
    if earlier is None:
        truth = _validation(rewind(material.night, before, start), users, days) if chosen is None else None
        earlier = fit_retrieval(before, material.videos, plan, "retrieval before the label days", truth, report)
    near = chosen.neighbours if chosen else neighbour_choice.choose(material.night, users, days)
    examples = label_lists.make(material.night, users, days, earlier, plan.seed, near)
    return learn(material, Lesson(earlier, near, examples, days.sparse), chosen, report, passes)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a ranker learns from: lists by a retrieval model that did not know what they are asked, with neighbours by the
    rules `near`. sparse: the ranker begins as a sum of sources and popularity."""

    earlier: FittedRetrieval
    near: NeighbourRules
    lists: ListExamples
    sparse: bool


def learn(material: Material, lesson: Lesson, chosen: Chosen | None, report: Report,
          passes: int | None = None) -> tuple[Bundle, Chosen]:
    """The ranker of a lesson, the other heads, and retrieval on everything as its earlier model was fitted. chosen and
    passes: as for `fit`."""
    found = chosen.ranker if chosen else at_most(passes, settings.ranker_settings(len(lesson.lists.user_ids), lesson.sparse))
    play = ranker.fit(lesson.lists, found, chosen is None, report)
    answers = response.fit(_responses(material.as_of), at_most(passes, settings.RankerSettings()),
                           chosen.response_epochs if chosen else None, report)
    plan, near = lesson.earlier.settings, lesson.near
    final = fit_retrieval(material.users, material.videos, plan, "retrieval", None, report)
    return Bundle(final, play, answers, near), Chosen(plan, play.settings, near, answers.epochs if answers else None)


def at_most(passes: int | None, plan: Planned) -> Planned:
    """Settings that end after so many passes, None: as they are."""
    return replace(plan, epochs=min(plan.epochs, passes)) if passes else plan


@dataclass(frozen=True, eq=False)
class Validation:
    """Where a retrieval fit is judged while it runs: users as they were, and what they watched after."""

    night: Night
    users: Users
    truth: evaluation.Truth

    def ndcg(self, fitted: FittedRetrieval) -> float:
        """NDCG@10 of exact retrieval alone."""
        lister = evaluation.retrieval_only(self.night, fitted.video_vectors(self.night), fitted.user_vectors)
        told = evaluation.judge(self.night, self.users, self.truth, {"retrieval": lister})
        return float(told.per_user["ndcg@10"]["retrieval"].mean())


def _validation(night: Night, users: Users, days: LabelDays) -> Validation | None:
    """Lists of the first night of the label days, where a log is sparse those of a sitting."""
    if days.sparse:
        cut, after = label_days.cut_in_sitting(users, night.as_of_us, np.iinfo(np.int64).max, 0)
    else:
        cut, after = label_days.cut_at(users, night.as_of_us), users.event_us >= night.as_of_us
    plays = lists.plays_of(users, after)
    truth = evaluation.truth_of_pairs(night, cut, plays.row, plays.video_ids, VALIDATION_USERS)
    return Validation(night, cut, truth) if len(truth.rows) else None


def fit_retrieval(users: Users, videos: KnownVideos, plan: RetrievalSettings, stage: str,
                  validation: Validation | None, report: Report) -> FittedRetrieval:
    """One retrieval fit on users' histories, all plays of them. validation: None to run exactly plan.epochs."""
    names = vocabulary.learn(videos, users.video_ids, users.countries)
    histories = sequences.of_users(users, videos.video_ids, names)
    catalogue = loop.catalogue_of(videos, names, histories, plan.moments)
    model = Retrieval(names, plan)
    sizes = (len(names.video_ids), len(names.creator_ids), len(names.categories))
    warm_start.begin(model.videos, warm_start.find(histories, catalogue.encoded, sizes, plan.width, plan.seed))
    judge = None if validation is None else lambda fitted: validation.ndcg(
        FittedRetrieval.of(fitted, names, plan, videos))
    plan = loop.fit(model, catalogue, sequences.windows(histories, plan.length), plan, stage, judge, report)
    return FittedRetrieval.of(model, names, plan, videos)


def _responses(as_of: date) -> response.Responses:
    manifest = lineage.resolve("training_examples", as_of)
    return response.of_table(snapshot.read(manifest, columns=response.TABLE_COLUMNS))
