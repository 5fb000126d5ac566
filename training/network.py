"""A small network with several heads over standardised features: what both parts of the ranker are made of."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

CLIP = 5.0
AMOUNT = "watch_ms"


class Heads(nn.Module):
    """Standardise → two hidden layers beside a straight line → one logit per head: [n, F] → [n, H].

    The straight line is what is learned on top of `prior`, weights that are known to be sensible before any example.
    """

    def __init__(self, features: int, hidden: tuple[int, ...], heads: tuple[str, ...], dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("clip", torch.tensor(CLIP))
        self.register_buffer("prior", torch.zeros(len(heads), features))
        widths = (features, *hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, hidden, strict=False))
        self.deep, self.straight = nn.Linear(widths[-1], len(heads)), nn.Linear(features, len(heads), bias=False)
        with torch.no_grad():
            self.straight.weight.zero_(), self.deep.weight.zero_()

    def standardise(self, features: np.ndarray) -> None:
        """Learn mean and spread of f32[n, F]; a constant feature counts nothing."""
        spread = features.std(0)
        self.mean.copy_(torch.from_numpy(features.mean(0)))
        self.scale.copy_(torch.from_numpy(np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0)))

    def forward(self, features: Tensor) -> Tensor:
        x = ((features - self.mean) * self.scale).clamp(-self.clip, self.clip)     # [n, F]
        line = functional.linear(x, self.straight.weight + self.prior)     # [n, H]
        for layer in self.layers:
            x = functional.dropout(functional.silu(layer(x)), self.dropout, self.training)
        return self.deep(x) + line


@torch.inference_mode()
def logits(network: Heads, features: np.ndarray, rows: int = 2_048) -> np.ndarray:
    """f32[n, H] without dropout, in pieces of fixed size that stay in the processor's cache."""
    network.eval()
    where = network.mean.device
    parts = [network(torch.from_numpy(features[begin:begin + rows]).to(where)).cpu().numpy()
             for begin in range(0, len(features), rows)]
    return np.concatenate([np.zeros((0, len(network.heads)), np.float32), *parts])
