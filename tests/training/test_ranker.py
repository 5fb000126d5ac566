"""The ranker: it learns order from lists, its probabilities can be believed, and label days fit the log."""

from datetime import timedelta

import numpy as np

from funnel import ragged
from funnel.ranking import FEATURE_NAMES
from lake.dates import DAY_US, midnight_us
from tests.funnel.worlds import AS_OF, random_night, random_users
from training import calibration, label_days, network, ranker, response
from training.lists import ListExamples, plays_after
from training.settings import RankerSettings, ranker_settings


def lists(count: int, planted: bool, seed: int = 0) -> ListExamples:
    """Lists of 30 whose watched videos are those with a high sum of two features; or any, when nothing is planted."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count * 30, len(FEATURE_NAMES))).astype(np.float32)
    wish = features[:, 3] + features[:, 8] if planted else rng.normal(size=count * 30)
    watched = rng.random(count * 30) < 1 / (1 + np.exp(4 - 2 * wish))
    watched[::30] = True
    return ListExamples(features, watched.astype(np.float32), np.ones(count * 30, np.float32), ragged.offsets_of(np.full(count, 30)),
                        np.arange(1000, 1000 + count))


def test_planted_order_is_learned_and_noise_is_not() -> None:
    judged = lists(200, True, seed=9)
    learned = ranker.fit(lists(400, True), RankerSettings(epochs=6), True, lambda _: None)
    noise = ranker.fit(lists(400, False), RankerSettings(epochs=6), True, lambda _: None)
    scores = [ranker.quality(network.logits(each.network, judged.features)[:, 0], judged) for each in (learned, noise)]
    assert scores[0] > scores[1] + 0.2
    for told in learned.reliability:
        assert abs(told["predicted"] - told["observed"]) < 0.12


def test_a_prior_that_is_too_sure_is_softened_before_anything_is_learned() -> None:
    """Watched are videos with a high sum of sources, less surely than the prior says; no other column may pay for that."""
    rng, rows = np.random.default_rng(3), 300 * 30
    features = rng.normal(size=(rows, len(FEATURE_NAMES))).astype(np.float32)
    agreed = sum(worth * features[:, FEATURE_NAMES.index(name)] for name, worth in ranker.PRIOR.items())
    watched = rng.random(rows) < 1 / (1 + np.exp(3 - 0.3 * agreed))
    watched[::30] = True
    made = ranker.fit(ListExamples(features, watched.astype(np.float32), np.ones(rows, np.float32),
                                   ragged.offsets_of(np.full(300, 30)), np.arange(300)),
                      ranker_settings(300, True), True, lambda _: None)
    believed = made.network.prior[0].numpy()
    assert 0.1 < believed[FEATURE_NAMES.index("explained_share")] < 0.6 and (believed != 0).sum() == len(ranker.PRIOR)
    assert made.network.straight.weight.detach().abs().max() < 0.1


def test_too_few_lists_pass_the_retrieval_score_on() -> None:
    made = ranker.fit(lists(5, True), RankerSettings(), True, lambda _: None)
    features = np.zeros((3, len(FEATURE_NAMES)), np.float32)
    features[:, FEATURE_NAMES.index("retrieval_score")] = [9.0, -3.0, 70.0]
    assert np.argsort(network.logits(made.network, features)[:, 0]).tolist() == [1, 0, 2]


def test_calibration_mends_a_logit_that_is_too_sure() -> None:
    rng = np.random.default_rng(1)
    truth_logit = rng.normal(-1, 1, 20_000)
    truth = (rng.random(20_000) < 1 / (1 + np.exp(-truth_logit))).astype(np.float32)
    found = calibration.fit(3 * truth_logit + 1, truth, np.ones(20_000, np.float32))
    assert abs(found.slope - 1 / 3) < 0.03 and abs(found.bias + 1 / 3) < 0.12
    told = calibration.reliability(found(3 * truth_logit + 1), truth, np.ones(20_000, np.float32))
    assert len(told) == 10 and max(abs(each["predicted"] - each["observed"]) for each in told) < 0.03


def test_calibration_of_nothing_is_the_identity() -> None:
    assert calibration.fit(np.zeros(0), np.zeros(0), np.zeros(0)) == calibration.Calibration()
    assert calibration.fit(np.ones(5), np.zeros(5), np.ones(5)) == calibration.Calibration()


def test_heads_are_those_the_log_can_teach() -> None:
    """Plays only, without watch time: likes are all that can be learned."""
    truth = np.full((400, len(response.HEADS)), np.nan, np.float32)
    truth[:, response.HEADS.index("like")] = np.arange(400) % 2
    truth[:, response.HEADS.index("share")] = 0
    assert response.learnable(truth) == ("like",)
    assert response.learnable(truth[:60]) == ()


def test_responses_learn_likes() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(4000, len(response.NAMES))).astype(np.float32)
    truth = np.full((4000, len(response.HEADS)), np.nan, np.float32)
    truth[:, response.HEADS.index("like")] = rng.random(4000) < 1 / (1 + np.exp(-2 * features[:, 5]))
    made = response.fit(response.Responses(features, truth), RankerSettings(epochs=8), None, lambda _: None)
    asked = np.zeros((2, len(response.NAMES)), np.float32)
    asked[:, 5] = [-1.5, 1.5]
    told = response.heads(made, network.logits(made.network, asked))
    assert set(told) == {"like"} and told["like"][0] < 0.25 and told["like"][1] > 0.75


def test_label_days_widen_for_a_sparse_log_and_never_show_a_list_its_answer() -> None:
    night = random_night(200)
    busy, sparse = random_users(night, 900, plays=40), random_users(night, 40, plays=30)
    assert label_days.choose(busy, AS_OF, 7) == label_days.LabelDays(7, False)
    chosen = label_days.choose(sparse, AS_OF, 1)
    assert chosen.personal and chosen.days >= 1
    for users, days in ((busy, label_days.LabelDays(7, False)), (sparse, chosen)):
        cuts = label_days.cuts(users, AS_OF, days)
        assert (cuts >= midnight_us(AS_OF - timedelta(days=days.days))).all() and (cuts <= midnight_us(AS_OF)).all()
        cut, later = label_days.cut_at(users, cuts), plays_after(users, cuts)
        assert (cut.event_us < cuts[ragged.row_of(cut.offsets)]).all()
        assert len(cut.event_us) + len(later.video_ids) <= len(users.event_us)


def test_where_many_came_lists_are_cut_in_sittings_and_at_midnights(monkeypatch) -> None:
    users = random_users(random_night(200), 40, plays=30)
    assert not label_days.choose(users, AS_OF, 1).many
    monkeypatch.setattr(label_days, "MANY_USERS", 10)
    days = label_days.choose(users, AS_OF, 1)
    cuts = [label_days.cuts(users, AS_OF, days, turn) for turn in range(label_days.rounds(days))]
    at_midnight = [bool((each % DAY_US == 0).all()) for each in cuts]
    assert days.many and at_midnight == [False] * label_days.SITTING_ROUNDS + [True] * label_days.MIDNIGHT_ROUNDS
    assert at_midnight == [not label_days.in_sittings(days, turn) for turn in range(len(cuts))]
    assert len({each.tobytes() for each in cuts}) == len(cuts), "every turn draws other plays"
    for each in cuts[label_days.SITTING_ROUNDS:]:
        cut, came = label_days.cut_at(users, each), np.diff(plays_after(users, each).offsets)
        assert (cut.event_us < each[ragged.row_of(cut.offsets)]).all(), "a list never knows its answer"
        assert (each >= midnight_us(days.start(AS_OF))).all(), "nor is it older than its features"
        assert (came[label_days.plays_in(users, midnight_us(days.start(AS_OF))) > 0] > 0).all()


def test_lists_of_midnights_and_many_lists_get_hidden_layers() -> None:
    assert ranker_settings(299, False).hidden == () and ranker_settings(300, False).hidden
    assert ranker_settings(3_000, True).hidden == () and ranker_settings(3_000, True, many=True).hidden
    assert (ranker_settings(300, False).prior, ranker_settings(3_000, True, many=True).prior) == (0.0, 1.0)


def test_personal_cuts_leave_something_on_both_sides() -> None:
    users = random_users(random_night(200), 60, plays=30)
    days = label_days.LabelDays(10, True)
    cuts = label_days.cuts(users, AS_OF, days)
    inside = cuts > midnight_us(AS_OF) - 10 * DAY_US
    known = np.diff(label_days.cut_at(users, cuts).offsets)
    later = np.diff(plays_after(users, cuts).offsets)
    assert inside.any() and (known[inside] >= 1).all() and (later[inside] >= 1).all()
