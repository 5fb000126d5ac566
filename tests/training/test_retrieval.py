"""The parts of the retrieval model: nothing looks ahead, little is padding, what starts warm is right."""

import doctest
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import sparse

from funnel import ragged
from funnel.users import cut_users
from lake.dates import DAY_US
from tests.funnel.worlds import random_night, random_users
from training import fitting, loop, metrics, moments, sequences, user_vectors, vocabulary, warm_start
from training.known_videos import KnownVideos
from training.retrieval import Retrieval
from training.settings import RetrievalSettings

NIGHT = random_night(80)
USERS = random_users(NIGHT, 60)
NAMES = vocabulary.learn(NIGHT, USERS.video_ids, USERS.countries)


def test_metrics_say_what_their_examples_say() -> None:
    found = doctest.testmod(metrics, extraglobs={"np": np})
    assert found.attempted >= 8 and not found.failed


def test_ndcg_equals_nested_loops() -> None:
    rng = np.random.default_rng(1)
    hits, extra = rng.random((50, 10)) < 0.3, rng.integers(0, 4, 50)
    relevant = hits.sum(1) + extra
    for row in range(50):
        gain = sum(1 / np.log2(rank + 2) for rank in range(10) if hits[row, rank])
        best = sum(1 / np.log2(rank + 2) for rank in range(min(10, relevant[row])))
        assert metrics.ndcg(hits, relevant, 10)[row] == pytest.approx(gain / best if best else 0)


def test_a_position_sees_no_later_play() -> None:
    """Changing the plays after a position changes nothing at it; changing when it is asked does."""
    model = Retrieval(NAMES, RetrievalSettings(width=16)).eval()
    generator = torch.Generator().manual_seed(0)
    plays = torch.randn(2, 9, 16, generator=generator)
    times = torch.arange(9.0, dtype=torch.float64).repeat(2, 1) * 3600
    rest = (torch.zeros(2, 9, dtype=torch.long), torch.zeros(2, dtype=torch.long))
    with torch.no_grad():
        before = model.users(plays, *rest, times, times + 60)
        changed = plays.clone()
        changed[:, 5:] = 0
        after = model.users(changed, *rest, times, times + 60)
        later = model.users(plays, *rest, times, times + 86_400)
    assert torch.allclose(before[:, :5], after[:, :5], atol=1e-6) and not torch.allclose(before[:, 5:], after[:, 5:])
    assert torch.isfinite(later).all()


@pytest.mark.parametrize(("layers", "heads", "width"), [(1, 1, 16), (2, 2, 64), (3, 4, 20)])
def test_a_nights_vector_is_what_the_tower_tells_of_the_last_play(layers: int, heads: int, width: int,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_vectors, "TOKENS", 64)
    model = Retrieval(NAMES, RetrievalSettings(width=width, layers=layers, heads=heads)).eval()
    rng = np.random.default_rng(5)
    with torch.no_grad():
        for weight in model.users.parameters():  # a new model's are zero or one in many places
            weight.add_(torch.from_numpy(rng.normal(0, 0.2, weight.shape).astype(np.float32)))
    some = cut_users(USERS, np.where(ragged.row_of(USERS.offsets) % 9, NIGHT.as_of_us, 0))  # every ninth played nothing
    histories = sequences.of_users(some, NIGHT.video_ids, NAMES, 40)
    known = rng.normal(size=(NIGHT.size, width)).astype(np.float32)
    found = user_vectors.last_vectors(model.users, histories, known)
    assert (histories.lengths == 0).any() and (histories.video < 0).any() and histories.lengths.max() > 20
    for user, (start, end) in enumerate(zip(histories.offsets[:-1], histories.offsets[1:], strict=True)):
        video, times = histories.video[start:end], histories.event_us[start:end] / 1e6
        plays = known[np.maximum(video, 0)] * (video >= 0)[:, None].astype(np.float32)
        asked = np.append(times[1:], times[-1:] + 12 * 3600)
        with torch.no_grad():
            told = model.users(*(torch.from_numpy(array)[None] for array in (
                plays, histories.liked[start:end].astype(np.int64))), torch.from_numpy(histories.country[user:user + 1]),
                *(torch.from_numpy(array)[None] for array in (times, asked)))[0] if end > start else torch.zeros(1, 1)
        assert np.allclose(found[user], told[-1].numpy(), rtol=1e-3, atol=1e-3)


def test_popularity_at_a_midnight_knows_only_what_had_happened_and_arrived() -> None:
    midnights = np.array([10, 12]) * DAY_US
    rows = np.array([0, 0, 1, 1])
    event_us = np.array([9, 10, 9, 11]) * DAY_US
    arrived_us = np.array([9, 10, 11, 13]) * DAY_US  # the third came two days late, the fourth after both midnights
    facts, published = moments.at_midnights(NIGHT, rows, event_us, arrived_us, midnights)
    ever = np.expm1(facts[:, :, moments.NAMES.index("log_plays_all")])
    assert ever[:, :2].round().tolist() == [[1, 0], [2, 1]]
    assert published.shape == (2, NIGHT.size)


def test_a_moment_is_never_after_its_target() -> None:
    histories = sequences.of_users(USERS, NIGHT.video_ids, NAMES, 40)
    midnights = moments.choose(histories.event_us, 8)
    for rows in sequences.batches(histories.lengths - 1, 256):
        batch = loop.make_batch(histories, rows, midnights)
        assert (batch.moment >= 0).all()
        assert (batch.target >= 0).all() and len(batch.target) == len(batch.where) == len(batch.moment)


def test_batches_hold_every_user_once_and_little_padding() -> None:
    lengths = np.random.default_rng(2).integers(0, 60, 500)
    groups = sequences.batches(lengths, 512, np.random.default_rng(3))
    assert np.array_equal(np.sort(np.concatenate(groups)), np.flatnonzero(lengths))
    padded = sum(len(rows) * lengths[rows].max() for rows in groups)
    assert all(len(rows) * lengths[rows].max() <= 512 for rows in groups) and padded < 1.2 * lengths.sum()


def test_windows_hold_every_play_once_and_are_cut_from_the_newest_on() -> None:
    histories = sequences.of_users(USERS, NIGHT.video_ids, NAMES)
    longest = int(histories.lengths.max())
    assert np.array_equal(sequences.windows(histories, longest).offsets, histories.offsets)
    cut = sequences.windows(histories, 7)
    assert set(histories.offsets) <= set(cut.offsets) and cut.lengths.max() == 7 < longest
    for begin, end, country in zip(histories.offsets, histories.offsets[1:], histories.country, strict=False):
        inside = (cut.offsets[1:] > begin) & (cut.offsets[1:] <= end)
        assert cut.lengths[inside].sum() == end - begin and (cut.lengths[inside][1:] == 7).all()
        assert (cut.country[inside] == country).all()


def test_a_video_played_again_is_no_target() -> None:
    histories = sequences.of_users(USERS, NIGHT.video_ids, NAMES, 40)
    for row in range(USERS.size):
        part = slice(histories.offsets[row], histories.offsets[row + 1])
        videos, first = USERS.video_ids[part], histories.first[part]
        assert first.tolist() == [video not in videos[:place] for place, video in enumerate(videos)]


def test_directions_find_who_watches_what() -> None:
    """Two crowds that watch different halves: videos of a half point the same way."""
    watched = np.zeros((40, 20), np.float32)
    rng = np.random.default_rng(4)
    for user in range(40):
        half = 10 * (user % 2)
        watched[user, half + rng.choice(10, 5, replace=False)] = 1
    found = warm_start.directions(sparse.csr_matrix(watched), 8, seed=1)
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    close = unit @ unit.T
    assert close[:10, :10].mean() > close[:10, 10:].mean() + 0.3
    assert np.array_equal(found, warm_start.directions(sparse.csr_matrix(watched), 8, seed=1))


def test_a_start_splits_vectors_without_changing_them() -> None:
    histories = sequences.of_users(USERS, NIGHT.video_ids, NAMES, 40)
    encoded = vocabulary.encode(NAMES, NIGHT)
    sizes = (len(NAMES.video_ids), len(NAMES.creator_ids), len(NAMES.categories))
    model = Retrieval(NAMES, RetrievalSettings(width=16))
    warm_start.begin(model.videos, warm_start.find(histories, encoded, sizes, 16, 1))
    unnamed = replace(encoded, video=np.zeros_like(encoded.video))
    with torch.no_grad():
        whole = model.videos(*loop.tensors(encoded, slice(None), torch.device("cpu")))
        content = model.videos(*loop.tensors(unnamed, slice(None), torch.device("cpu")))
    known = torch.from_numpy(encoded.video > 0)
    assert torch.isfinite(whole).all() and whole[known].abs().sum() > 0
    assert content.abs().sum() > 0, "a video without plays has what its creator and categories explain"


def test_sampled_softmax_approaches_the_full_one() -> None:
    """With the correction, the expected loss over many draws is near the full softmax."""
    histories = sequences.of_users(USERS, NIGHT.video_ids, NAMES, 40)
    rows = sequences.batches(histories.lengths - 1, 4096)[0]

    def loss(negatives: int, draws: int) -> float:
        settings = RetrievalSettings(width=16, negatives=negatives, dropout=0.0, id_dropout=0.0)
        catalogue = loop.catalogue_of(NIGHT, NAMES, histories, 4)
        fit = loop.Fit(Retrieval(NAMES, settings), catalogue, histories, settings)
        batch = loop.make_batch(histories, rows, catalogue.midnights)
        with torch.no_grad():
            return float(np.mean([float(fit._loss(batch)) for _ in range(draws)]))

    assert loss(60, 40) == pytest.approx(loss(0, 1), rel=0.03)


def test_the_same_fit_twice_is_the_same() -> None:
    """Seeds are the settings': weights are equal bit for bit on one machine, whatever ran before."""
    known = KnownVideos(*(getattr(NIGHT, field.name) for field in fields(KnownVideos)))
    settings = RetrievalSettings(width=16, length=20, epochs=2, negatives=30)
    found = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        found.append(fitting.fit_retrieval(USERS, known, settings, "test", None, lambda _: None))
    assert np.array_equal(found[0].user_vectors(USERS), found[1].user_vectors(USERS))
    assert np.array_equal(found[0].known, found[1].known)
