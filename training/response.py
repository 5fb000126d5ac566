"""What people do with what they are shown: heads learned from `training_examples`, point in time.

Lists teach which video a user plays next; what follows a play (completion, like, share, time) and what a show alone
brings (a play, "not interested") is told by impressions and plays with the features that were live when they happened.
Inputs are the columns of the ranker's features that the join also has, derived by the same function, so what is
learned here is asked for in the same terms at night. The last fifth of the rows in time is held out.
"""

import copy
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.nn import functional

from features.views import FEATURES
from funnel.ranking import FEATURE_NAMES
from funnel.view_features import MANY, derive
from training import calibration
from training.calibration import Calibration
from training.loop import device
from training.network import AMOUNT, Heads, logits
from training.progress import Epoch, Report
from training.settings import RankerSettings

VIEWS = ("video", "creator", "user")
NAMES = ("log_duration_s", "duration_unknown", "category_count", *(f"{view}_{name}" for view in VIEWS for name in MANY))
COLUMNS = [FEATURE_NAMES.index(name) for name in NAMES]
HEADS = ("shown_play", "completion", "like", "share", "not_interested", AMOUNT)
ORDER = ("event_time", "user_id", "event_id")  # total: examples are unique by these
TABLE_COLUMNS = [*ORDER, "shown", "played", "liked", "shared", "not_interested", "watch_ms", "duration_ms",
                 "categories", *(f"{view}_{feature}" for view in VIEWS for feature in FEATURES)]
FEWEST = 50
MOST_ROWS = 1_000_000
HELD_OUT = 0.2
WORTH_A_PASS = 0.002
LEAST_STEPS = 20


@dataclass(frozen=True, eq=False)
class Responses:
    """n label rows in a total order, by time: features f32[n, len(NAMES)]; truth f32[n, len(HEADS)], NaN where a head has
    nothing to learn from the row."""

    features: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, eq=False)
class FittedResponse:
    """The network, a calibration per head, the epochs that were right, and the held-out reliability of each head."""

    network: Heads
    calibrations: dict[str, Calibration]
    epochs: int
    reliability: dict[str, list[dict]]


def of_table(rows: pa.Table) -> Responses:
    """Responses from rows of training_examples, the newest million of them, in whatever order they come."""
    order = pc.sort_indices(rows, [(name, "ascending") for name in ORDER])
    rows = rows.take(order.slice(max(len(order) - MOST_ROWS, 0)))
    duration = rows["duration_ms"].cast(pa.float64()).fill_null(-1).to_numpy()
    watch = rows["watch_ms"].cast(pa.float64()).fill_null(np.nan).to_numpy()
    counts = pc.fill_null(pc.list_value_length(rows["categories"]), 0).to_numpy()
    sides = [derive(_view(rows, view)) for view in VIEWS]
    seconds = np.log1p(np.maximum(duration, 0) / 1000)
    features = np.column_stack([seconds, duration < 0, counts, *sides]).astype(np.float32)
    flag = {name: rows[name].to_numpy() for name in ("shown", "played", "liked", "shared", "not_interested")}
    played = flag["played"]
    share = np.where((duration > 0) & played, np.minimum(watch / np.maximum(duration, 1), 1), np.nan)
    truth = np.column_stack([
        np.where(flag["shown"], played, np.nan), share, np.where(played, flag["liked"], np.nan),
        np.where(played, flag["shared"], np.nan), np.where(flag["shown"], flag["not_interested"], np.nan),
        np.where(played, np.log1p(watch / 1000), np.nan)])
    return Responses(features, truth.astype(np.float32))


def _view(rows: pa.Table, view: str) -> np.ndarray:
    """f32[n, len(FEATURES)]: the window sums that the join found in a view."""
    return np.stack([rows[f"{view}_{feature}"].to_numpy() for feature in FEATURES], axis=1).astype(np.float32)


def learnable(truth: np.ndarray) -> tuple[str, ...]:
    """The heads that these rows can teach: at least 50 rows, and 50 of each kind for a yes-or-no head."""
    found = []
    for place, name in enumerate(HEADS):
        told = truth[:, place][~np.isnan(truth[:, place])]
        kinds = min(told.sum(), (1 - told).sum()) if name != AMOUNT and len(told) else len(told)
        if len(told) >= FEWEST and kinds >= FEWEST:
            found.append(name)
    return tuple(found)


def fit(responses: Responses, settings: RankerSettings, epochs: int | None,
        report: Report) -> FittedResponse | None:
    """Fit the heads the log can teach; None when it teaches none. epochs: None to stop early on the held-out days."""
    border = int(len(responses.truth) * (1 - HELD_OUT))
    heads = learnable(responses.truth[:border])
    if not heads:
        return None
    columns = [HEADS.index(name) for name in heads]
    truth = responses.truth[:, columns]
    torch.manual_seed(settings.seed)
    network = Heads(len(NAMES), settings.hidden, heads, settings.dropout)
    network.standardise(responses.features[:border])
    network.to(device())
    parts = (responses.features[:border], truth[:border], responses.features[border:], truth[border:])
    used = _epochs(network, parts, settings, epochs, report)
    calibrations, told = _calibrate(network, parts[2], parts[3])
    return FittedResponse(network, calibrations, used, told)


def _epochs(network: Heads, parts: tuple[np.ndarray, ...], settings: RankerSettings, fixed: int | None,
            report: Report) -> int:
    features, truth, later, later_truth = parts
    shuffle = np.random.default_rng(settings.seed)
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    best, kept, weights = np.inf, fixed or settings.epochs, None
    steps = max(-(-len(truth) // settings.batch_rows), min(LEAST_STEPS, -(-len(truth) // 64)))
    for number in range(1, kept + 1):
        network.train()
        begun = time.perf_counter()
        for rows in np.array_split(shuffle.permutation(len(truth)), steps):
            loss = _loss(network, features[rows], truth[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.inference_mode():
            value = float(_loss(network, later, later_truth))
        told = {"loss": float(loss.detach()), "later_loss": value}
        report(Epoch("responses", number, told, time.perf_counter() - begun))
        if not np.isfinite(value):
            raise FloatingPointError(f"the response loss became {value} in epoch {number}; lower its learning rate")
        if not fixed and value < best * (1 - WORTH_A_PASS):
            best, kept, weights = value, number, copy.deepcopy(network.state_dict())
        if not fixed and number - kept >= settings.patience:
            break
    if weights is not None:
        network.load_state_dict(weights)
    return kept


def _loss(network: Heads, features: np.ndarray, truth: np.ndarray) -> Tensor:
    """Mean over the heads of each head's mean loss over the rows it has a truth for."""
    where, known = network.mean.device, ~np.isnan(truth)
    told = network(torch.from_numpy(features).to(where))                                  # [n, H]
    wanted, mask = torch.from_numpy(np.nan_to_num(truth)).to(where), torch.from_numpy(known).to(where)
    losses = []
    for place, name in enumerate(network.heads):
        rows = mask[:, place]
        if rows.any():
            measure = functional.mse_loss if name == AMOUNT else functional.binary_cross_entropy_with_logits
            losses.append(measure(told[rows, place], wanted[rows, place]))
    return torch.stack(losses).mean() if losses else told.sum() * 0


def _calibrate(network: Heads, features: np.ndarray,
               truth: np.ndarray) -> tuple[dict[str, Calibration], dict[str, list[dict]]]:
    raw, fitted, told = logits(network, features), {}, {}
    for place, name in enumerate(network.heads):
        rows = ~np.isnan(truth[:, place])
        if name == AMOUNT:
            expected = np.expm1(truth[rows, place]).mean() if rows.any() else 1.0
            found = np.expm1(raw[rows, place]).mean() if rows.any() else 1.0
            fitted[name] = Calibration(float(np.clip(expected / max(found, 1e-6), 0.1, 10)), 0.0)
            continue
        weight = np.ones(int(rows.sum()), np.float32)
        fitted[name] = calibration.fit(raw[rows, place], truth[rows, place], weight)
        told[name] = calibration.reliability(fitted[name](raw[rows, place]), truth[rows, place], weight)
    return fitted, told


def heads(fitted: FittedResponse, raw: np.ndarray) -> dict[str, np.ndarray]:
    """Calibrated heads f32[N] from the network's logits f32[N, heads]; watch_ms in milliseconds."""
    made = {}
    for place, name in enumerate(fitted.network.heads):
        scale = fitted.calibrations[name]
        made[name] = (scale.slope * 1000 * np.expm1(np.clip(raw[:, place], 0, 16))).astype(np.float32) \
            if name == AMOUNT else scale(raw[:, place])
    return made
