"""The ranking networks as nights ask them: for many pairs of few users and a catalogue.

The first layer of a network is a sum over features, and most of those belong to the video or the user alone. Their part
of the sum is made once per video and once per user; per pair only the rest is multiplied, for all networks at once.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from funnel.ranking import Features
from training.network import Heads

ROWS = 4_096


@dataclass(frozen=True, eq=False)
class Asked:
    """A network and the places in FEATURE_NAMES of its inputs, i64[F] ascending."""

    network: Heads
    places: np.ndarray

    @cached_property
    def first(self) -> tuple[Tensor, Tensor]:
        """Weight [h + H, F] and bias [h + H] of the first hidden layer and, below it, the straight line; [H, F] and [H] of
        everything where there is no hidden layer."""
        network = self.network
        line = (network.straight.weight + network.prior).detach().cpu()
        if not network.layers:
            return network.deep.weight.detach().cpu() + line, network.deep.bias.detach().cpu()
        weight, bias = (part.detach().cpu() for part in (network.layers[0].weight, network.layers[0].bias))
        return torch.cat([weight, line]), torch.cat([bias, torch.zeros(len(line))])

    def sums(self, columns: np.ndarray, first: int) -> Tensor:
        """f32[n, h + H]: the part in the first layer's sums that the features from place `first` on, f32[k, n], have."""
        inside = (self.places >= first) & (self.places < first + len(columns))
        x, clip = torch.from_numpy(columns[self.places[inside] - first]), self.network.clip.cpu()
        x.sub_(self.network.mean.cpu()[inside, None]).mul_(self.network.scale.cpu()[inside, None]).clamp_(-clip, clip)
        return x.t() @ self.first[0][:, inside].t()


class Scorer:
    """Raw heads of several networks. What is made of a night's videos is kept until another night's are asked for."""

    def __init__(self, asked: tuple[Asked, ...]) -> None:
        self.asked = asked
        self._videos: tuple[np.ndarray, Tensor] | None = None

    @torch.inference_mode()
    def __call__(self, features: Features) -> list[np.ndarray]:
        """Per network f32[N, H]: its logits, without dropout; on the CPU and in pieces of fixed size."""
        first_user, first_pair = features.video.shape[1], features.video.shape[1] + features.user.shape[1]
        if self._videos is None or self._videos[0] is not features.video:
            self._videos = features.video, self._sums(features.video.T, 0)
        videos = self._videos[1]
        users = self._sums(features.user.T, first_user) + torch.cat([each.first[1] for each in self.asked])
        video, user = torch.from_numpy(features.video_index), torch.from_numpy(features.user_index)
        widths = [len(each.first[1]) for each in self.asked]
        found = [[torch.zeros(0, len(each.network.heads))] for each in self.asked]
        for start in range(0, len(video), ROWS):
            sums = videos.index_select(0, video[start:start + ROWS])                        # [n, all first layers]
            sums += users.index_select(0, user[start:start + ROWS])
            pairs = features.pair[:, start:start + ROWS]
            for each, mine, parts in zip(self.asked, sums.split(widths, 1), found, strict=True):
                if each.places[-1] >= first_pair:
                    mine += each.sums(pairs, first_pair)
                parts.append(_rest(each.network, mine))
        return [torch.cat(parts).numpy() for parts in found]

    def _sums(self, columns: np.ndarray, first: int) -> Tensor:
        return torch.cat([each.sums(columns, first) for each in self.asked], 1)


def _rest(network: Heads, sums: Tensor) -> Tensor:
    """f32[n, H] from what the first layer summed up, [n, h + H]."""
    if not network.layers:
        return sums
    width = network.layers[0].out_features
    x = functional.silu(sums[:, :width])
    for layer in network.layers[1:]:
        x = functional.silu(functional.linear(x, layer.weight.cpu(), layer.bias.cpu()))
    return torch.addmm(network.deep.bias.cpu(), x, network.deep.weight.cpu().t()) + sums[:, width:]
