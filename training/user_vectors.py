"""The user tower as nights ask it: what `retrieval.UserTower` tells of each user's last play, without gradients.

Plays of many users lie one after another, so nothing is padding; the last layer is asked for the last play alone; and a
few users at a time, so that what a layer makes of them stays in a core's own cache.
"""

from collections.abc import Iterator

import numpy as np
from torch import nn

from funnel import ragged
from lake.dates import HOUR_US, SECOND_US
from training import compiled
from training.retrieval import GAP_BUCKETS, UserTower
from training.sequences import Sequences

TOKENS = 1_024
ASKED_AFTER_US = 12 * HOUR_US
Weights = dict[str, np.ndarray]


def last_vectors(tower: UserTower, histories: Sequences, known: np.ndarray) -> np.ndarray:
    """f32[U, d + F]: what each user would play twelve hours after the last play; zeros for a user without plays.

    known: f32[N, d], the vectors of the videos that histories.video names.
    """
    layers = [(_weights(block), block.heads) for block in tower.blocks]
    rest = _weights(tower)
    found = np.zeros((len(histories.lengths), tower.taste.out_features + tower.night.out_features), np.float32)
    for rows in _pieces(histories.lengths):
        flat, offsets = ragged.take(histories.offsets, rows)
        event_us, last = histories.event_us[flat], offsets[1:] - 1
        asked_us = np.append(event_us[1:], 0)
        asked_us[last] = event_us[last] + ASKED_AFTER_US
        times = offsets, event_us / SECOND_US, asked_us / SECOND_US
        x = compiled.play_vectors(known, histories.video[flat], histories.liked[flat], rest["liked.weight"], offsets,
                                  histories.country[rows], rest["country.weight"])                # [T, d]
        for weights, heads in layers[:-1]:
            x = _block(weights, heads, x, offsets, times)
        x = _block(*layers[-1], x, np.arange(len(rows) + 1), times)                               # [B, d]
        waited = np.log2(np.maximum(asked_us - event_us, 0)[last] / SECOND_US + 1).astype(np.int64)
        x = compiled.normed(x + rest["waited.weight"][np.minimum(waited, GAP_BUCKETS - 1)], rest["norm.weight"],
                            rest["norm.bias"])
        found[rows] = np.concatenate([_linear(rest, "taste", x), _linear(rest, "night", x)], axis=1)
    return found


def _pieces(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of users with plays, in order, so many at a time that they have at most `TOKENS` plays, or one user."""
    rows = np.flatnonzero(lengths)
    begun, held = 0, 0
    for end, length in enumerate(lengths[rows].tolist()):
        if held and held + length > TOKENS:
            yield rows[begun:end]
            begun, held = end, 0
        held += length
    if held:
        yield rows[begun:]


def _block(weights: Weights, heads: int, x: np.ndarray, asked: np.ndarray, times: tuple[np.ndarray, ...]) -> np.ndarray:
    """f32[Q, d] of the plays that ask (`compiled.attend`) from x f32[T, d]; times: offsets, event_s and asked_s."""
    width, offsets = x.shape[1], times[0]
    asking = np.repeat(offsets[1:] - asked[1:], np.diff(asked)) + np.arange(asked[-1])  # all plays, or each user's last
    normed = compiled.normed(x, weights["norm.weight"], weights["norm.bias"])
    mix, bias = weights["mix.weight"], weights["mix.bias"]
    query = np.take(normed, asking, axis=0) @ mix[:width].T + bias[:width]
    seen = compiled.attend(query, normed @ mix[width:].T + bias[width:], asked, *times, weights["near.weight"], GAP_BUCKETS)
    x = np.take(x, asking, axis=0) + _linear(weights, "out", seen)
    normed = compiled.normed(x, weights["norm_forward.weight"], weights["norm_forward.bias"])
    return x + _linear(weights, "down", compiled.gated(normed @ weights["up.weight"].T, weights["up.bias"]))


def _linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _weights(module: nn.Module) -> Weights:
    return {name: tensor.cpu().numpy() for name, tensor in module.state_dict().items()}
