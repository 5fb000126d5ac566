"""The ranker: it learns order from lists, its probabilities can be believed, and label days fit the log."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import torch

from funnel import ragged
from funnel.ranking import FEATURE_NAMES
from funnel.users import hours_since_play
from lake.dates import DAY_US, midnight_us
from tests.funnel.worlds import AS_OF, random_night, random_users, watching
from training import calibration, label_days, network, ranker, response
from training.lists import ListExamples, some
from training.progress import Epoch
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


def test_the_epochs_are_those_with_the_least_loss_of_the_held_out_lists() -> None:
    epochs: list[Epoch] = []
    made = ranker.fit(lists(120, True), RankerSettings(epochs=8), True, epochs.append)
    losses, places = ([epoch.values[name] for epoch in epochs] for name in ("held_out_loss", "ndcg@10"))
    assert made.settings.epochs == 1 + np.argmin(losses) != 1 + np.argmax(places)


def test_the_loss_of_held_out_lists_forgives_what_is_too_sure_of_itself() -> None:
    """By hand: one list whose first is watched, scores 2, 0, 0 and those a thousand times as large or turned round."""
    one = ListExamples(np.zeros((3, 1), np.float32), np.array([1, 0, 0], np.float32), np.array([1, 1, 3], np.float32),
                       np.array([0, 3]), np.array([7]))
    scores = np.array([2, 0, 0], np.float32)
    assert np.isclose(ranker.held_out_loss(scores, one), np.log(1 + 4 * np.exp(-4)), atol=1e-4), "at twice the sharpness"
    assert ranker.held_out_loss(1000 * scores, one) < 1e-4 < np.log(5) < ranker.held_out_loss(-1000 * scores, one)


def test_few_lists_of_which_none_is_held_out_are_learned_from_and_told_in_numbers() -> None:
    """Twenty lists may all be of the other four fifths; a model's facts must be JSON all the same."""
    users, epochs = np.arange(200), []
    made = ranker.fit(replace(lists(25, True), user_ids=users[~ranker.held_out(users)][:25]), RankerSettings(epochs=3), True,
                      epochs.append)
    assert made.settings.epochs == len(epochs) == 3
    assert all(np.isfinite(value) for epoch in epochs for value in epoch.values.values())


def test_some_lists_are_whole_lists() -> None:
    every = lists(40, True)
    drawn = some(every, 15, np.random.default_rng(1))
    assert drawn.size == 15 < len(np.unique(drawn.user_ids)) + 1 and set(drawn.user_ids) < set(every.user_ids)
    for place, user in enumerate(drawn.user_ids.tolist()):
        mine = slice(30 * (user - 1000), 30 * (user - 999))
        assert np.array_equal(drawn.features[30 * place:30 * place + 30], every.features[mine])
    assert np.array_equal(some(every, 99, np.random.default_rng(1)).features, every.features)


def test_a_prior_that_is_too_sure_is_softened_before_anything_is_learned() -> None:
    """Watched are videos with a high sum of sources, less surely than the prior says; no other column may pay for that."""
    rng, rows = np.random.default_rng(3), 300 * 30
    features = rng.normal(size=(rows, len(FEATURE_NAMES))).astype(np.float32)
    agreed = sum(worth * features[:, FEATURE_NAMES.index(name)] for name, worth in ranker.PRIOR.items())
    watched = rng.random(rows) < 1 / (1 + np.exp(3 - 0.3 * agreed))
    watched[::30] = True
    made = ranker.fit(ListExamples(features, watched.astype(np.float32), np.ones(rows, np.float32),
                                   ragged.offsets_of(np.full(300, 30)), np.arange(300)),
                      ranker_settings(299, True), True, lambda _: None)
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


def test_label_days_widen_for_a_sparse_log_and_have_nights_evenly() -> None:
    night = random_night(200)
    busy, sparse = random_users(night, 900, plays=40), random_users(night, 40, plays=30)
    assert label_days.choose(busy, AS_OF, 7) == label_days.LabelDays(7)
    chosen = label_days.choose(sparse, AS_OF, 1)
    assert chosen.sparse and chosen.days >= 1
    assert [(AS_OF - day).days for day in label_days.LabelDays(28).nights(AS_OF)] == [28, 21, 14, 7]
    assert [(AS_OF - day).days for day in label_days.LabelDays(7).nights(AS_OF)] == [7, 6, 4, 2]
    assert label_days.LabelDays(1).nights(AS_OF) == [AS_OF - timedelta(days=1)]


def test_the_first_night_alone_teaches_where_it_asks_enough_users(monkeypatch: pytest.MonkeyPatch) -> None:
    users = random_users(random_night(200), 900, plays=40)
    monkeypatch.setattr(label_days, "MOST_NEEDED", 400)
    days = label_days.choose(users, AS_OF, 7)
    assert days == label_days.LabelDays(7, night_count=1) and days.nights(AS_OF) == [days.start(AS_OF)]


@pytest.mark.parametrize("turn", range(3))
def test_a_list_in_a_sitting_knows_what_came_before_it_and_nothing_else(turn: int) -> None:
    users = random_users(random_night(200), 60, plays=30)
    late_us = np.random.default_rng(turn).integers(0, 3 * DAY_US, len(users.event_us))
    users = replace(users, arrived_us=users.event_us + late_us)
    start, end = midnight_us(AS_OF) - 10 * DAY_US, midnight_us(AS_OF) - 4 * DAY_US
    cut, after = label_days.cut_in_sitting(users, start, end, turn)
    listed = 0
    for user in range(users.size):
        plays = slice(users.offsets[user], users.offsets[user + 1])
        known = cut.event_us[cut.offsets[user]:cut.offsets[user + 1]]
        times, arrived, later = users.event_us[plays], users.arrived_us[plays], after[plays]
        if later.any():
            first = int(np.argmax(later))
            listed, asked = listed + 1, cut.asked_us[user]
            assert later[first:].all(), "every play from the cut on is an answer"
            assert first >= label_days.FEWEST_KNOWN and start <= times[first] == asked < end
            assert np.array_equal(known, times[:first][arrived[:first] <= asked])
        else:
            assert np.array_equal(known, times[(times < start) & (arrived < start)])
    assert listed > 20


def test_turns_cut_at_other_plays() -> None:
    users = random_users(random_night(200), 60, plays=30)
    asked = [label_days.cut_in_sitting(users, midnight_us(AS_OF) - 20 * DAY_US, midnight_us(AS_OF), turn)[0].asked_us
             for turn in range(4)]
    assert len({each.tobytes() for each in asked}) == 4


def test_a_sitting_is_cut_between_plays_of_one_instant_in_their_pinned_order() -> None:
    """The lines of an invoice carry one time: what was put in the basket first tells what comes next."""
    users = watching({1: [10, 11, 12, 13, 14, 15]})
    at_once = np.full(6, midnight_us(AS_OF) - DAY_US)
    users = replace(users, event_us=at_once, arrived_us=at_once)
    cuts = set()
    for turn in range(20):
        cut, after = label_days.cut_in_sitting(users, midnight_us(AS_OF) - 2 * DAY_US, midnight_us(AS_OF), turn)
        assert cut.video_ids.tolist() + users.video_ids[after].tolist() == [10, 11, 12, 13, 14, 15]
        assert hours_since_play(cut).tolist() == [0]
        cuts.add(len(cut.video_ids))
    assert cuts == {3, 4, 5}


def test_many_lists_get_hidden_layers_and_sparse_logs_a_prior() -> None:
    assert ranker_settings(299, False).hidden == () and ranker_settings(300, False).hidden
    assert [ranker_settings(300, sparse).prior for sparse in (False, True)] == [0.0, 1.0]


def test_a_ranker_is_the_mean_of_its_steps() -> None:
    """Of one epoch, exactly; nothing is averaged in from before the first step."""
    steps = []
    examples, settings = lists(60, True), RankerSettings(epochs=1, hidden=())
    original = torch.optim.AdamW.step

    def step(optimizer: torch.optim.AdamW, *arguments: object, **named: object) -> object:
        told = original(optimizer, *arguments, **named)
        steps.append(optimizer.param_groups[0]["params"][-1].detach().clone())
        return told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        made = ranker.fit(examples, settings, False, lambda _: None)
    mean = torch.stack(steps).double().mean(0).float()
    assert len(steps) >= 20 and torch.allclose(made.network.straight.weight, mean, atol=1e-6)
