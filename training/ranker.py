"""Fitting the ranker's `play` head on lists: order inside a list first, then a probability that can be believed.

Loss: softmax cross entropy over each list (Cao et al., "Learning to Rank: From Pairwise to Listwise Approach", ICML
2007), negatives weighted by how many candidates each sampled one stands for, beside a share of plain cross entropy
that keeps logits comparable between users. A fifth of the users is held out: for early stopping and calibration.
"""

import copy
import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from funnel import ragged
from funnel.ranking import FEATURE_NAMES
from lake.hashing import splitmix64
from training import calibration
from training.calibration import Calibration
from training.lists import ListExamples, choose
from training.loop import device
from training.network import Heads, logits
from training.progress import Epoch, Report
from training.settings import RankerSettings

HELD_OUT_OF = 5
FEWEST_LISTS = 20
LEAST_STEPS = 20
PLAY = ("play",)
# What a ranker believes before it has seen a list: sources agree, what goes with the last plays is good for as long as
# they are fresh, and what many play is good once they no longer are.
PRIOR = {"retrieval_gap": 1.0, "explained_share": 1.0, "lately_share_now": 1.0, "followed_share_now": 1.0,
         "popularity_place": 1.0, "popularity_place_now": -1.0}
SHARPNESS = tuple(2.0 ** (half / 2) for half in range(-8, 3))  # what scores, and the prior's sum, may be multiplied by


@dataclass(frozen=True, eq=False)
class FittedRanker:
    """The network, its calibration, the settings with the epochs that were right, and the held-out reliability."""

    network: Heads
    calibration: Calibration
    settings: RankerSettings
    reliability: list[dict]


def held_out(user_ids: np.ndarray) -> np.ndarray:
    """bool[U]: the users whose lists are not learned from; a fixed fifth, by hash."""
    return splitmix64(user_ids) // np.uint64(64) % np.uint64(HELD_OUT_OF) == 0


def fit(examples: ListExamples, settings: RankerSettings, search: bool, report: Report) -> FittedRanker:
    """Fit the play head. search: stop early by the loss of the held-out lists; else, and where none is held out, run
    exactly settings.epochs.

    With fewer than 20 lists there is nothing to learn from: `by_retrieval`.
    """
    if len(examples.user_ids) < FEWEST_LISTS:
        return by_retrieval(settings)
    rest = held_out(examples.user_ids)
    learned, judged = (choose(examples, np.flatnonzero(mask)) for mask in (~rest, rest))
    torch.manual_seed(settings.seed)
    network = Heads(examples.features.shape[1], settings.hidden, PLAY, settings.dropout)
    network.standardise(learned.features)
    if settings.prior:
        _believe(network, learned, settings)
    network.to(device())
    epochs = _epochs(network, learned, judged, settings, search, report)
    scores = logits(network, judged.features)[:, 0]
    fitted = calibration.fit(scores, judged.watched.astype(np.float32), judged.weight)
    told = calibration.reliability(fitted(scores), judged.watched.astype(np.float32), judged.weight)
    return FittedRanker(network, fitted, replace(settings, epochs=epochs), told)


def _believe(network: Heads, learned: ListExamples, settings: RankerSettings) -> None:
    """Set the prior, as sharp as the lists say it should be. Without that the line would learn from every column at once
    that the sum is too sure of itself, and columns that are not in it would count against a candidate."""
    prior = torch.zeros_like(network.prior)
    for name, worth in PRIOR.items():
        prior[0, FEATURE_NAMES.index(name)] = settings.prior * worth
    batch = [torch.from_numpy(array) for array in (learned.features, learned.gain, learned.weight,
                                                   ragged.row_of(learned.offsets))]
    losses = {}
    with torch.no_grad():
        for sharpness in SHARPNESS:
            network.prior.copy_(sharpness * prior)
            losses[sharpness] = _loss(network, *batch, 0.0).item()
        network.prior.copy_(min(losses, key=losses.get) * prior)


def by_retrieval(settings: RankerSettings) -> FittedRanker:
    """A ranker that only passes the retrieval score on, uncalibrated: what a log without training lists gets."""
    network = Heads(len(FEATURE_NAMES), settings.hidden, PLAY, 0.0)
    with torch.no_grad():
        network.deep.bias.zero_()
        network.straight.weight[0, FEATURE_NAMES.index("retrieval_score")] = 1
        network.clip.fill_(1e6)
    return FittedRanker(network, Calibration(), settings, [])


def _epochs(network: Heads, learned: ListExamples, judged: ListExamples, settings: RankerSettings, search: bool,
            report: Report) -> int:
    """Fit, and leave the network with its averaged weights: the mean of the first epoch, later ones fading as it passes.
    A few thousand lists say too little for the last step to be trusted (Polyak and Juditsky, "Acceleration of stochastic
    approximation by averaging", 1992). Returns the epochs that were right."""
    shuffle = np.random.default_rng(settings.seed)
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    at_once = _lists_at_once(learned, settings)
    steps = math.ceil(len(learned.user_ids) / at_once)
    averaged = AveragedModel(network, avg_fn=lambda mean, now, n: mean + (now - mean) / (n + 1).clamp(max=steps))
    least, kept, weights = np.inf, settings.epochs, None
    for number in range(1, settings.epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * (1 - 0.9 * (number - 1) / settings.epochs)
        begun = time.perf_counter()
        loss = _pass(network, averaged, learned, at_once, optimizer, shuffle, settings)
        if not np.isfinite(loss):
            raise FloatingPointError(f"the ranker's loss became {loss} in epoch {number}; lower its learning rate")
        told = {"loss": loss}
        if judged.size:
            scores = logits(averaged.module, judged.features)[:, 0]
            told |= {"held_out_loss": held_out_loss(scores, judged), "ndcg@10": quality(scores, judged)}
        report(Epoch("ranker", number, told, time.perf_counter() - begun))
        later = told.get("held_out_loss", np.inf)
        if search and later < least:
            least, kept, weights = later, number, copy.deepcopy(averaged.module.state_dict())
        if search and number - kept >= settings.patience:
            break
    network.load_state_dict(weights if weights is not None else averaged.module.state_dict())
    return kept


def _lists_at_once(learned: ListExamples, settings: RankerSettings) -> int:
    """Lists of a step: about batch_rows candidates, and at least 20 steps an epoch."""
    lists = max(len(learned.user_ids), 1)
    mean_rows = max(len(learned.watched) / lists, 1)
    return max(1, min(int(settings.batch_rows / mean_rows), lists // LEAST_STEPS))


def _pass(network: Heads, averaged: AveragedModel, learned: ListExamples, at_once: int, optimizer: torch.optim.Optimizer,
          shuffle: np.random.Generator, settings: RankerSettings) -> float:
    network.train()
    where, total, steps = device(), 0.0, 0
    order = shuffle.permutation(len(learned.user_ids))
    for begin in range(0, len(order), at_once):
        rows, offsets = ragged.take(learned.offsets, order[begin:begin + at_once])
        batch = (torch.from_numpy(array).to(where) for array in (
            learned.features[rows], learned.gain[rows], learned.weight[rows], ragged.row_of(offsets)))
        loss = _loss(network, *batch, settings.pointwise)
        loss = loss + settings.strength / len(learned.user_ids) * _from_prior(network)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        averaged.update_parameters(network)
        total, steps = total + loss.item(), steps + 1
    return total / max(steps, 1)


@torch.no_grad()
def held_out_loss(scores: np.ndarray, judged: ListExamples) -> float:
    """The listwise loss of scores f32[n] of lists, at least one, as sharp as suits them: what is too sure of itself is
    calibrated later. It wavers less than the NDCG of some hundred lists."""
    batch = [torch.from_numpy(array) for array in (judged.gain, judged.weight, ragged.row_of(judged.offsets))]
    return min(_listwise(torch.from_numpy(scores * np.float32(sharpness)), *batch).item() for sharpness in SHARPNESS)


def _from_prior(network: Heads) -> Tensor:
    """How far the straight line has moved: what few lists can't tell stays as it was before any."""
    moved = network.straight.weight.square().sum()
    return moved if network.layers else moved + network.deep.weight.square().sum()


def _loss(network: Heads, features: Tensor, gain: Tensor, weight: Tensor, row: Tensor, pointwise: float) -> Tensor:
    scores = network(features)[:, 0]                                                   # [n]
    plain = functional.binary_cross_entropy_with_logits(scores, (gain > 0).float(), weight, reduction="sum")
    return _listwise(scores, gain, weight, row) + pointwise * plain / weight.sum()


def _listwise(scores: Tensor, gain: Tensor, weight: Tensor, row: Tensor) -> Tensor:
    lists = int(row[-1]) + 1
    top = scores.detach().new_full((lists,), -1e9).scatter_reduce(0, row, scores.detach(), "amax")
    mass = scores.new_zeros(lists).index_add(0, row, weight * torch.exp(scores - top[row]))
    own = (scores - top[row] - torch.log(mass)[row]) * gain                            # [n] log share of each positive
    gains = scores.new_zeros(lists).index_add(0, row, gain)
    return -(own / gains[row].clamp(min=1e-9)).sum() / lists


def quality(scores: np.ndarray, examples: ListExamples) -> float:
    """NDCG@10 of ordering these sampled lists by score, in units of their gains: to compare epochs, never to report."""
    if not len(examples.user_ids):
        return 0.0
    row, place = ragged.row_of(examples.offsets), ragged.place_in_row(examples.offsets)
    discount = np.where(place < 10, 1 / np.log2(place + 2), 0)

    def gained(key: np.ndarray) -> np.ndarray:
        return np.bincount(row, examples.gain[np.lexsort((place, -key, row))] * discount, len(examples.user_ids))

    return float((gained(scores) / np.maximum(gained(examples.gain), 1e-9)).mean())
