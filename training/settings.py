"""Every choice of the two models, in one place; two functions fit them to the size of a log."""

import math
from dataclasses import asdict, dataclass

SCALING = 13  # raise it when the functions below choose otherwise, or the models themselves change


@dataclass(frozen=True)
class RetrievalSettings:
    """The sequential retrieval model and how it is fitted.

    length: plays of a history that are read. negatives: sampled per step, 0 = full softmax over the catalogue.
    moments: midnights at which popularity is known while training. epochs: at most so many; early stopping may end
    before, and a refit runs exactly `epochs`. recency: where attention begins, a play n plays back weighs
    (1 + n)^-recency.
    """

    width: int = 64
    layers: int = 2
    heads: int = 2
    length: int = 128
    negatives: int = 0
    moments: int = 16
    epochs: int = 5
    patience: int = 2
    batch_tokens: int = 1024
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    dropout: float = 0.3
    id_dropout: float = 0.1
    recency: float = 1.0
    seed: int = 1


@dataclass(frozen=True)
class RankerSettings:
    """The multi-head ranker and how it is fitted. hidden: widths of its layers. pointwise: the share of
    plain cross entropy beside the listwise loss. prior: how much of `ranker.PRIOR` is believed before any list was
    seen, per standard deviation; strength: how many lists' worth of evidence stands against leaving it."""

    hidden: tuple[int, ...] = (64, 32)
    epochs: int = 10
    patience: int = 3
    batch_rows: int = 4096
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    dropout: float = 0.1
    pointwise: float = 0.1
    prior: float = 0.0
    strength: float = 0.0
    seed: int = 2


def retrieval_settings(plays: int, users: int, videos: int) -> RetrievalSettings:
    """Settings for histories with so many plays, users and videos: wider, and fewer passes, as a log grows."""
    size = math.log10(max(plays, 1))
    mean_length = plays / max(users, 1)
    return RetrievalSettings(
        width=32 if size < 3.5 else 64 if size < 6.5 else 128,
        length=int(min(200, max(32, 2 ** math.ceil(math.log2(max(2 * mean_length, 1)))))),
        negatives=0 if videos <= 600 else min(4096, max(512, videos // 8)),
        epochs=10 if size < 4 else 5,
        batch_tokens=1024 if size < 6 else 4096,
    )


def ranker_settings(lists: int, sparse: bool) -> RankerSettings:
    """Settings for so many training lists: a straight line below 300. Where a log is sparse, and in a straight line, the
    ranker begins as a sum of sources and popularity."""
    if lists < 300:
        return RankerSettings(hidden=(), epochs=20, weight_decay=0.0, learning_rate=3e-3, prior=1.0, strength=1000.0)
    return RankerSettings(hidden=(64, 32), dropout=0.3, prior=float(sparse))


def declared() -> dict[str, object]:
    """What a training's identity says of its settings; those that follow from the data are not in it."""
    return {"retrieval": asdict(RetrievalSettings()), "ranker": {**asdict(RankerSettings()), "hidden": [64, 32]},
            "scaling": SCALING}
