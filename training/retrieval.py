"""The retrieval model: a causal transformer over a history, and a tower that gives every video a vector.

    user:   plays as vectors [B, L, d] → causal attention with biases for distance and time gap → [B, L, d + F]
    video:  id + creator + mean of categories + duration [V, d], beside its F numbers of the night (`moments.py`)
    score:  inner product over d + F: what this user likes, plus what everybody watches as much as this user cares

Every position predicts the next play. Attention knows the time of the play to predict (at night: the midnight), so
"a minute later" and "a week later" may differ. Time gaps as attention biases: Zhai et al., "Actions Speak Louder than
Words", ICML 2024; the transformer: Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.moments import NAMES
from training.settings import RetrievalSettings
from training.vocabulary import DURATION_BUCKETS, Vocabulary

NIGHT_FEATURES = len(NAMES)
GAP_BUCKETS = 40
AGO = 4


class VideoTower(nn.Module):
    """Vectors of videos from their places in the vocabulary (`EncodedVideos`); place 0 of a table is a zero vector."""

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        super().__init__()
        self.video = _embedding(len(vocabulary.video_ids), width)
        self.creator = _embedding(len(vocabulary.creator_ids), width)
        self.category = _embedding(len(vocabulary.categories), width)
        self.duration = _embedding(DURATION_BUCKETS - 1, width)

    def forward(self, video: Tensor, creator: Tensor, duration: Tensor, categories: Tensor) -> Tensor:
        """i64[V] three times and i64[V, C] → f32[V, d]."""
        known = (categories > 0).sum(1, keepdim=True).clamp(min=1)        # [V, 1]
        genre = self.category(categories).sum(1) / known                   # [V, d]
        return self.video(video) + self.creator(creator) + self.duration(duration) + genre


def _embedding(count: int, width: int) -> nn.Embedding:
    table = nn.Embedding(count + 1, width, padding_idx=0)
    with torch.no_grad():
        table.weight[1:].normal_(0, 0.5 * width ** -0.5)
    return table


def dropout(x: Tensor, share: float) -> Tensor:
    """x with a share of its numbers, in steps of 1/256, zero, and the others scaled up. A random byte for each number is
    several times cheaper on a CPU than torch's own, which draws 64 bits."""
    border = round(256 * share)
    drawn = torch.empty(x.numel() // 8 + 1, dtype=torch.int64, device=x.device).random_(-2 ** 63, None)
    kept = drawn.view(torch.uint8)[:x.numel()].view(x.shape) >= border
    return x * (kept * (256 / (256 - border)))


class Block(nn.Module):
    """Pre-norm attention with a bias per head, then a gated feed-forward layer."""

    def __init__(self, settings: RetrievalSettings) -> None:
        super().__init__()
        width = settings.width
        self.heads, self.dropout = settings.heads, settings.dropout
        self.norm, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(2 * width, width)
        self.near = nn.Linear(AGO, settings.heads, bias=False)
        with torch.no_grad():  # begin as the mean of what was watched: the taste of a user is already in it
            self.mix.weight[2 * width:] = torch.eye(width)
            self.out.weight.copy_(torch.eye(width))
            self.down.weight.zero_()
            self.near.weight.zero_()
            self.near.weight[:, 0] = -8.0 * settings.recency  # a play n plays back begins at (1 + n)^-recency

    def forward(self, x: Tensor, ago: "Ago") -> Tensor:
        """x [B, L, d] → [B, L, d]."""
        query, key, value = (self._split(part) for part in self.mix(self.norm(x)).chunk(3, -1))
        weights = torch.baddbmm(ago.bias(self.near.weight).flatten(0, 1), query, key.transpose(1, 2),
                                alpha=query.shape[2] ** -0.5).softmax(-1)          # [B · H, L, L]
        seen = torch.bmm(weights, value).unflatten(0, (-1, self.heads)).transpose(1, 2).flatten(2)
        x = x + self._drop(self.out(seen))
        value, gate = self.up(self.norm_forward(x)).chunk(2, -1)           # [B, L, 2d] each
        return x + self._drop(self.down(value * functional.silu(gate)))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2).flatten(0, 1)      # [B · H, L, d / H]

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout) if self.training else x


class UserTower(nn.Module):
    """Histories to vectors: at each position, what the user would play at the time of the next one."""

    def __init__(self, vocabulary: Vocabulary, settings: RetrievalSettings) -> None:
        super().__init__()
        self.dropout = settings.dropout
        self.liked = nn.Embedding(2, settings.width)
        self.country = _embedding(len(vocabulary.countries), settings.width)
        self.waited = nn.Embedding(GAP_BUCKETS, settings.width)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width)
        self.taste = nn.Linear(settings.width, settings.width)
        self.night = nn.Linear(settings.width, NIGHT_FEATURES)

    def forward(self, plays: Tensor, liked: Tensor, country: Tensor, event_s: Tensor, asked_s: Tensor) -> Tensor:
        """plays f32[B, L, d] vectors of the videos, liked i64[B, L], country i64[B], event_s and asked_s f64[B, L] the
        times of each play and of the one after it → f32[B, L, d + F]. Padding comes last in a row. Nights ask for each
        user's last place alone: `user_vectors.py` computes the same, and must be changed with this."""
        ago = _ago(event_s, asked_s)
        x = plays + self.liked(liked) + self.country(country)[:, None]
        x = dropout(x, self.dropout) if self.training else x
        for block in self.blocks:
            x = block(x, ago)
        waited = _octaves(asked_s - event_s).long().clamp(max=GAP_BUCKETS - 1)
        x = self.norm(x + self.waited(waited))
        return torch.cat([self.taste(x), self.night(x)], -1)


@dataclass(frozen=True, eq=False)
class Ago:
    """How long ago each play is for each query. gap f32[B, Q, L]: time in octaves of seconds; per pair of places:
    distance f32[Q, L] in octaves of plays, itself f32[Q, L] 1 where it is the play itself, hidden bool[Q, L] true where
    a query may not look."""

    gap: Tensor
    distance: Tensor
    itself: Tensor
    hidden: Tensor

    def bias(self, weight: Tensor) -> Tensor:
        """f32[B, H, Q, L] from weight [H, 4], of distance, gap, gap squared and itself."""
        distance, gap, squared, itself = weight.t()[:, :, None, None]                      # [H, 1, 1] each
        of_places = self.distance * distance + self.itself * itself
        of_places = of_places.masked_fill(self.hidden, -1e9)                               # [H, Q, L]
        mine = self.gap[:, None]                                                           # [B, 1, Q, L]
        return torch.addcmul(of_places, mine, mine * squared + gap)


def _ago(event_s: Tensor, asked_s: Tensor) -> Ago:
    steps = torch.arange(event_s.shape[1], device=event_s.device)
    back = steps[:, None] - steps[None, :]                                                 # [L, L]
    gap = _octaves(asked_s[:, :, None] - event_s[:, None, :]) / GAP_BUCKETS                # [B, L, L]
    return Ago(gap, _octaves(back) / 8, (back == 0).float(), back < 0)


def _octaves(values: Tensor) -> Tensor:
    """f32: log2(1 + value), 0 for negative values."""
    return torch.log2(values.clamp(min=0).float() + 1)


class Retrieval(nn.Module):
    """Both towers. Weights of a new model follow from the settings' seed."""

    def __init__(self, vocabulary: Vocabulary, settings: RetrievalSettings) -> None:
        super().__init__()
        torch.manual_seed(settings.seed)
        self.videos = VideoTower(vocabulary, settings.width)
        self.users = UserTower(vocabulary, settings)
        with torch.no_grad():
            self.users.liked.weight.zero_(), self.users.country.weight.zero_(), self.users.waited.weight.zero_()
            self.users.taste.weight.copy_(torch.eye(settings.width))
            self.users.night.weight.mul_(0.1)
            self.users.night.bias.copy_(torch.tensor([0.5, 0.2, 0.0, 0.0, 0.0]))
