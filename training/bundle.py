"""A model version as files: safetensors and JSON, nothing that runs code when it is read.

    retrieval.safetensors, ranker.safetensors                   what nights use: fitted on everything before as_of
    judged_retrieval.safetensors, judged_ranker.safetensors     what was judged: has not seen the held-out days
    model.json                                                  settings, names, features, neighbours' rules, calibrations, metrics

A rejected training keeps only the judged weights. Every byte is checked against the manifest before it is parsed.
"""

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch
from safetensors.torch import load as parse
from safetensors.torch import save as encode

from funnel.neighbours import NeighbourRules
from funnel.night import Night
from funnel.ranking import FEATURE_NAMES, Features
from funnel.users import Users
from lake import snapshot
from lake.snapshot import Manifest
from training import model_file, moments, response
from training.calibration import Calibration
from training.fitted import FittedRetrieval
from training.network import Heads
from training.ranker import FittedRanker
from training.response import FittedResponse
from training.retrieval import Retrieval
from training.scoring import Asked, Scorer
from training.settings import RankerSettings, RetrievalSettings
from training.vocabulary import Vocabulary

VIDEO_IDS, CREATOR_IDS, KNOWN = "names.video_ids", "names.creator_ids", "known_vectors"


@dataclass(frozen=True, eq=False)
class Bundle:
    """Retrieval and ranker of one model version, ready to make lists. neighbours: how those of its nights are made."""

    retrieval: FittedRetrieval
    ranker: FittedRanker
    response: FittedResponse | None
    neighbours: NeighbourRules

    def user_vectors(self, users: Users) -> np.ndarray:
        """f32[U, d + F] for `funnel.users.Users`; the inner product with a video's vector is the score."""
        return self.retrieval.user_vectors(users)

    def video_vectors(self, night: Night) -> np.ndarray:
        """f32[V, d + F] for the videos of a night, also those that came after the training."""
        return self.retrieval.video_vectors(night)

    def score(self, features: Features) -> dict[str, np.ndarray]:
        """Calibrated heads f32[N] for ranking features of N candidates. "play": the probability that a user who comes
        back plays this video; the others as `response.HEADS` say, those that the log could teach."""
        play, *answers = self._scorer(features)
        told = {"play": self.ranker.calibration(play[:, 0])}
        return told | (response.heads(self.response, answers[0]) if self.response else {})

    @cached_property
    def _scorer(self) -> Scorer:
        asked = [Asked(self.ranker.network, np.arange(len(FEATURE_NAMES)))]
        return Scorer((*asked, *([Asked(self.response.network, np.array(response.COLUMNS))] if self.response else [])))


def files(bundle: Bundle, prefix: str = "") -> tuple[dict[str, bytes], dict]:
    """The two weight files of a bundle, name → bytes, and what model.json tells of them."""
    retrieval, ranker, answers = bundle.retrieval, bundle.ranker, bundle.response
    tensors = _state(retrieval.model) | {
        KNOWN: torch.from_numpy(np.ascontiguousarray(retrieval.known)),
        VIDEO_IDS: torch.from_numpy(retrieval.names.video_ids.astype(np.int64)),
        CREATOR_IDS: torch.from_numpy(retrieval.names.creator_ids.astype(np.int64))}
    ranking = _state(ranker.network, "play.") | (_state(answers.network, "response.") if answers else {})
    told = {
        "retrieval": asdict(retrieval.settings), "categories": retrieval.names.categories,
        "countries": retrieval.names.countries, "night_features": list(moments.NAMES),
        "ranker": asdict(ranker.settings), "features": list(FEATURE_NAMES),
        "play": {"calibration": asdict(ranker.calibration), "reliability": ranker.reliability},
        "response": _response_facts(answers), "neighbours": asdict(bundle.neighbours)}
    return {f"{prefix}retrieval.safetensors": encode(tensors), f"{prefix}ranker.safetensors": encode(ranking)}, told


def _response_facts(answers: FittedResponse | None) -> dict | None:
    if answers is None:
        return None
    return {"features": list(response.NAMES), "heads": list(answers.network.heads), "epochs": answers.epochs,
            "calibrations": {name: asdict(each) for name, each in answers.calibrations.items()},
            "reliability": answers.reliability}


def _state(module: torch.nn.Module, prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}


def load(manifest: Manifest, judged: bool = False) -> Bundle:
    """The bundle of a model snapshot: what nights use, or the weights it was judged with.

    snapshot.Damaged when a file differs from its manifest; `model_file.Outdated`.
    """
    part = model_file.part_of(manifest, judged)
    prefix = "judged_" if judged else ""
    tensors = parse(snapshot.read_verified(manifest, f"{prefix}retrieval.safetensors"))
    ranking = parse(snapshot.read_verified(manifest, f"{prefix}ranker.safetensors"))
    return Bundle(_retrieval(tensors, part), _ranker(ranking, part), _response(ranking, part),
                  model_file.neighbour_rules(part))


def _retrieval(tensors: dict[str, torch.Tensor], part: dict) -> FittedRetrieval:
    names = Vocabulary(tensors.pop(VIDEO_IDS).numpy(), tensors.pop(CREATOR_IDS).numpy(), part["categories"],
                       part["countries"])
    known, settings = tensors.pop(KNOWN).numpy(), RetrievalSettings(**part["retrieval"])
    model = Retrieval(names, settings)
    model.load_state_dict(tensors)
    return FittedRetrieval(model.eval(), names, settings, known)


def _ranker(tensors: dict[str, torch.Tensor], part: dict) -> FittedRanker:
    settings = _ranker_settings(part)
    play = part["play"]
    return FittedRanker(_heads(tensors, "play.", len(part["features"]), ("play",)),
                        Calibration(**play["calibration"]), settings, play["reliability"])


def _response(tensors: dict[str, torch.Tensor], part: dict) -> FittedResponse | None:
    told = part["response"]
    if told is None:
        return None
    heads = _heads(tensors, "response.", len(told["features"]), tuple(told["heads"]))
    return FittedResponse(heads, {name: Calibration(**each) for name, each in told["calibrations"].items()},
                          told["epochs"], told["reliability"])


def _ranker_settings(part: dict) -> RankerSettings:
    return RankerSettings(**{**part["ranker"], "hidden": tuple(part["ranker"]["hidden"])})


def _heads(tensors: dict[str, torch.Tensor], prefix: str, features: int, heads: tuple[str, ...]) -> Heads:
    """The widths of the hidden layers are those of the weights: the two halves of a ranker may have their own."""
    biases = (f"{prefix}layers.{n}.bias" for n in range(len(tensors)))
    hidden = tuple(len(tensors[name]) for name in biases if name in tensors)
    made = Heads(features, hidden, heads, dropout=0.0)
    made.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in tensors.items()
                          if name.startswith(prefix)})
    return made.eval()
