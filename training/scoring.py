"""The ranking networks as nights ask them: for many pairs of few users and a catalogue.

The first layer of a network is a sum over features, and most of those belong to the video or the user alone. Their part
of the sum is made once per video and once per user; per pair only the rest is multiplied.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from funnel.ranking import Features
from training import compiled
from training.network import Heads

ROWS = 1_024  # pairs at a time: what the layers make of them stays in a core's own cache


@dataclass(frozen=True, eq=False)
class Part:
    """Some inputs of a network: where they are among columns i64[F], how they are standardised (f32[F] twice), and their
    weight f32[F, h + H] in the first hidden layer and, beside it, the straight line."""

    places: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    clip: np.float32
    weight: np.ndarray

    def sums(self, columns: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
        """f32[n, h + H]: what the columns f32[k, N], from start on, before stop (N), add to the first layer's sums."""
        stop = columns.shape[1] if stop is None else stop
        x = compiled.standardised(columns, start, stop, self.places, self.mean, self.scale, self.clip)
        return np.matmul(x.T, self.weight)


@dataclass(frozen=True, eq=False)
class Asked:
    """A network and the places in FEATURE_NAMES of its inputs, i64[F] ascending."""

    network: Heads
    places: np.ndarray

    @cached_property
    def first(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight f32[F, h + H] and bias f32[h + H] of the first hidden layer and the straight line, which has the heads'
        bias; [F, H] and [H] of everything where there is no hidden layer."""
        network = self.network
        line = _array(network.straight.weight + network.prior)
        if not network.layers:
            return (_array(network.deep.weight) + line).T, _array(network.deep.bias)
        weight, bias = _array(network.layers[0].weight), _array(network.layers[0].bias)
        return np.concatenate([weight, line]).T, np.append(bias, _array(network.deep.bias))

    @cached_property
    def rest(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight f32[in, out] and bias f32[out] of the hidden layers after it."""
        return [(_array(layer.weight).T, _array(layer.bias)) for layer in self.network.layers[1:]]

    @cached_property
    def deep(self) -> np.ndarray:
        """Weight f32[out, H] of the heads on the last hidden layer."""
        return _array(self.network.deep.weight).T

    def part(self, start: int, stop: int) -> Part:
        """The inputs among the features [start, stop)."""
        inside = (self.places >= start) & (self.places < stop)
        return Part(self.places[inside] - start, _array(self.network.mean)[inside], _array(self.network.scale)[inside],
                    np.float32(self.network.clip.cpu()), np.ascontiguousarray(self.first[0][inside]))

    def logits(self, sums: np.ndarray | None, videos: np.ndarray, users: np.ndarray, video: np.ndarray,
               user: np.ndarray) -> np.ndarray:
        """f32[n, H] of pairs from the parts of the first layer's sums: f32[n, h + H] of the pairs, which is overwritten
        (None: the network asks nothing of pairs), f32[V, h + H] and f32[U, h + H]."""
        made = np.empty((len(video), videos.shape[1]), np.float32) if sums is None else sums
        hidden = made.shape[1] - len(self.network.heads) if self.network.layers else 0
        compiled.first_layer(made, sums is not None, videos, users, video, user, hidden)
        x, line = made[:, :hidden], made[:, hidden:]
        for weight, bias in self.rest:
            x = x @ weight
            compiled.bend(x, bias)
        return x @ self.deep + line if hidden else line


class Scorer:
    """Raw heads of several networks. What is made of a night's videos is kept until another night's are asked for."""

    def __init__(self, asked: tuple[Asked, ...]) -> None:
        self.asked = asked
        self._videos: tuple[np.ndarray, list[np.ndarray]] | None = None

    def __call__(self, features: Features) -> list[np.ndarray]:
        """Per network f32[N, H]: its logits, without dropout; on the CPU and in pieces of fixed size."""
        if self._videos is None or self._videos[0] is not features.video:
            stop = features.video.shape[1]
            self._videos = features.video, [each.part(0, stop).sums(features.video.T) for each in self.asked]
        return [_logits(each, videos, features) for each, videos in zip(self.asked, self._videos[1], strict=True)]


def _logits(asked: Asked, videos: np.ndarray, features: Features) -> np.ndarray:
    first_user, first_pair = features.video.shape[1], features.video.shape[1] + features.user.shape[1]
    users = asked.part(first_user, first_pair).sums(features.user.T) + asked.first[1]
    of_pairs = asked.part(first_pair, first_pair + len(features.pair))
    found = np.empty((len(features.video_index), len(asked.network.heads)), np.float32)
    for start in range(0, len(found), ROWS):
        part = slice(start, min(start + ROWS, len(found)))
        sums = of_pairs.sums(features.pair, part.start, part.stop) if len(of_pairs.places) else None
        found[part] = asked.logits(sums, videos, users, features.video_index[part], features.user_index[part])
    return found


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
