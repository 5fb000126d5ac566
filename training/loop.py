"""Fitting the retrieval model: next plays at every position, softmax over the catalogue or a sample of it.

Sampled softmax: negatives are drawn from a known mixture q of popularity and uniform, shared by a batch, and each
negative's score is lowered by log(count · q), so that the sum estimates the full one; the played video is not sampled
and is not corrected. Sources: Bengio and Senécal 2008; Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large
Corpus Item Recommendations", RecSys 2019; Khrylchenko et al., "Correcting the LogQ Correction", RecSys 2025.
"""

import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lake.dates import SECOND_US
from training import moments, sequences, vocabulary
from training.moments import Videos
from training.progress import Epoch, Report
from training.retrieval import NIGHT_FEATURES, Retrieval
from training.sequences import Sequences
from training.settings import RetrievalSettings
from training.vocabulary import EncodedVideos, Vocabulary

UNIFORM_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The V videos of a fit: their places, and f32[P, V, F + 1] facts at P midnights i64[P] (last: not published)."""

    encoded: EncodedVideos
    midnights: np.ndarray
    facts: np.ndarray
    plays: np.ndarray  # f64[V] how often each is a target


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def repeatable() -> None:
    """The same weights from the same data every time, on a GPU too, where sums otherwise come in any order. Call it
    before anything is computed. Source: PyTorch's notes on randomness, "Reproducibility"."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads what was not written


def tensors(encoded: EncodedVideos, rows: np.ndarray | slice, where: torch.device) -> tuple[Tensor, ...]:
    """The video tower's arguments for some rows."""
    columns = (encoded.video, encoded.creator, encoded.duration, encoded.categories)
    return tuple(torch.from_numpy(np.ascontiguousarray(column[rows])).to(where) for column in columns)


def catalogue_of(videos: Videos, names: Vocabulary, histories: Sequences, count: int) -> Catalogue:
    """Places, and the facts of every video at `count` midnights, from the plays of the histories themselves."""
    known = histories.video >= 0
    rows, event_us = histories.video[known], histories.event_us[known]
    midnights = moments.choose(event_us, count)
    facts, published = moments.at_midnights(videos, rows, event_us, histories.arrived_us[known], midnights)
    absent = np.where(published, 0, moments.UNPUBLISHED).astype(np.float32)[:, :, None]
    return Catalogue(vocabulary.encode(names, videos), midnights, np.concatenate([facts, absent], 2),
                     np.bincount(rows, minlength=len(videos.video_ids)).astype(np.float64))


@dataclass(frozen=True, eq=False)
class Batch:
    """plays i64[B, L] catalogue rows, and at n positions that have a next play to predict: where, target, and moment,
    which ascends."""

    plays: np.ndarray
    liked: np.ndarray
    country: np.ndarray
    event_s: np.ndarray
    asked_s: np.ndarray
    where: np.ndarray
    target: np.ndarray
    moment: np.ndarray


def make_batch(histories: Sequences, rows: np.ndarray, midnights: np.ndarray) -> Batch:
    """Inputs are all plays but the last, targets all but the first, by moment; a video played again is no target."""
    flat, real = sequences.pad(histories, rows)
    now, after = flat[:, :-1], flat[:, 1:]
    wanted = real[:, 1:] & histories.first[after] & (histories.video[after] >= 0)
    event_us, asked_us = histories.event_us[now], histories.event_us[after]
    target, where = after[wanted], np.flatnonzero(wanted)
    moment = np.searchsorted(midnights, histories.event_us[target], "right") - 1
    order = np.argsort(moment, kind="stable")
    return Batch(
        plays=histories.video[now], liked=histories.liked[now].astype(np.int64), country=histories.country[rows],
        event_s=event_us / SECOND_US, asked_s=np.where(real[:, 1:], asked_us, event_us) / SECOND_US,
        where=where[order], target=histories.video[target][order], moment=moment[order])


class Fit:
    """One fit of a model to the histories of a catalogue. Seeds and order of batches follow from the settings."""

    def __init__(self, model: Retrieval, catalogue: Catalogue, histories: Sequences,
                 settings: RetrievalSettings) -> None:
        self.model, self.catalogue, self.histories, self.settings = model, catalogue, histories, settings
        self.where = device()
        model.to(self.where)
        self.shuffle = np.random.default_rng(settings.seed)
        share = catalogue.plays / max(catalogue.plays.sum(), 1)
        self.q = UNIFORM_SHARE / len(share) + (1 - UNIFORM_SHARE) * share
        self.facts = torch.from_numpy(catalogue.facts).to(self.where)                      # [P, V, F + 1]
        self.optimizer = torch.optim.AdamW(model.parameters(), settings.learning_rate,
                                           weight_decay=settings.weight_decay, fused=True)

    def epoch(self, number: int, total: int) -> tuple[float, int]:
        """One pass over all histories; mean loss and number of targets. FloatingPointError when it is not finite."""
        self.model.train()
        groups = sequences.batches(self.histories.lengths - 1, self.settings.batch_tokens, self.shuffle)
        summed, targets = torch.zeros((), dtype=torch.float64, device=self.where), 0
        for step, rows in enumerate(groups):
            self._learning_rate((number - 1 + step / len(groups)) / total)
            batch = make_batch(self.histories, rows, self.catalogue.midnights)
            if not len(batch.target):
                continue
            loss = self._loss(batch)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            summed += loss.detach().double() * len(batch.target)  # asked for once, so that a GPU need not wait for each step
            targets += len(batch.target)
        total_loss = summed.item()
        if not np.isfinite(total_loss):
            raise FloatingPointError(f"the retrieval loss became {total_loss} in epoch {number}; lower the learning rate")
        return total_loss / max(targets, 1), targets

    def _learning_rate(self, done: float) -> None:
        warm = min(1.0, done * 20 + 0.05)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * warm * (1 - 0.9 * done)

    def _loss(self, batch: Batch) -> Tensor:
        rows, candidates, lowered = self._candidates(batch)
        encoded = list(tensors(self.catalogue.encoded, rows, self.where))
        forget = self.shuffle.random(len(rows)) < self.settings.id_dropout
        encoded[0] = encoded[0].masked_fill(torch.from_numpy(forget).to(self.where), 0)
        vectors = self.model.videos(*encoded)                                               # [R, d]
        place = np.searchsorted(rows, np.maximum(batch.plays, rows[0]))
        plays = self._rows(vectors, place) * self._on((batch.plays >= 0)[..., None])
        users = self.model.users(plays, self._on(batch.liked), self._on(batch.country), self._on(batch.event_s),
                                 self._on(batch.asked_s)).flatten(0, 1)[self._on(batch.where)]    # [n, d + F]
        scores = self._scores(users, self._rows(vectors, np.searchsorted(rows, candidates)), candidates, lowered,
                              batch.moment)
        own = self._own_scores(users, self._rows(vectors, np.searchsorted(rows, batch.target)), batch)
        hit = self._on(candidates)[None, :] == self._on(batch.target)[:, None]              # [n, S]
        scores = torch.cat([own[:, None], scores.masked_fill_(hit, -1e9)], 1)
        return functional.cross_entropy(scores, self._on(np.zeros(len(scores), np.int64)))

    def _candidates(self, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Catalogue rows to embed (ascending), rows to score, and log(count · q) of each; 0 where all are scored."""
        count = self.settings.negatives
        if not count or count >= len(self.q):
            every = np.arange(len(self.q))
            return every, every, np.zeros(len(every), np.float32)
        drawn = self.shuffle.choice(len(self.q), count, p=self.q)
        rows = np.unique(np.concatenate([batch.plays[batch.plays >= 0], batch.target, drawn]))
        return rows, drawn, np.log(count * self.q[drawn]).astype(np.float32)

    def _scores(self, users: Tensor, vectors: Tensor, rows: np.ndarray, lowered: np.ndarray,
                moment: np.ndarray) -> Tensor:
        """f32[n, S]: taste · vector + weights of the night · facts at the target's moment − lowered f32[S]."""
        width, counts = vectors.shape[1], np.bincount(moment, minlength=len(self.facts)).tolist()
        weights = torch.cat([users[:, width:], torch.ones_like(users[:, :1])], 1)          # [n, F + 1]
        facts = self.facts[:, self._on(rows)]                                              # [P, S, F + 1]
        facts[:, :, NIGHT_FEATURES] -= self._on(lowered)
        of_nights = [some @ then.T for some, then in zip(weights.split(counts), facts, strict=True)]
        return torch.addmm(torch.cat(of_nights), users[:, :width], vectors.T)

    def _own_scores(self, users: Tensor, vectors: Tensor, batch: Batch) -> Tensor:
        facts = self.facts[self._on(batch.moment), self._on(batch.target), :NIGHT_FEATURES]
        return (users * torch.cat([vectors, facts], 1)).sum(1)                             # [n]

    def _rows(self, vectors: Tensor, places: np.ndarray) -> Tensor:
        """vectors[places]; the gradient of `embedding` is a sorted sum, that of an index a loop over repeated places on
        a GPU."""
        return functional.embedding(self._on(places), vectors)

    def _on(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.where)


def fit(model: Retrieval, catalogue: Catalogue, histories: Sequences, settings: RetrievalSettings, stage: str,
        judge: Callable[[Retrieval], float] | None, report: Report) -> RetrievalSettings:
    """Fit in place. With a judge (a metric to maximise): stop `patience` epochs after the best one and keep that one's
    weights. Returns the settings with the number of epochs that was right; a refit anneals over just those."""
    run, best, kept, weights = Fit(model, catalogue, histories, settings), -np.inf, settings.epochs, None
    for number in range(1, settings.epochs + 1):
        begun = time.perf_counter()
        loss, targets = run.epoch(number, settings.epochs)
        seconds = time.perf_counter() - begun
        value = judge(model) if judge else None
        told = {"loss": loss, "targets_per_s": targets / max(seconds, 1e-9)}
        told |= {} if value is None else {"ndcg@10": value}
        report(Epoch(stage, number, told, time.perf_counter() - begun))
        if value is not None and value > best:
            best, kept, weights = value, number, copy.deepcopy(model.state_dict())
        if judge and number - kept >= settings.patience:
            break
    if weights is not None:
        model.load_state_dict(weights)
    return replace(settings, epochs=kept)
