"""model.json of a model version: what is said of its weights. Read without torch, where a night only needs to know how
its neighbours are made."""

import json

from funnel.neighbours import NeighbourRules
from funnel.ranking import FEATURE_NAMES
from lake import snapshot
from lake.hashing import canonical_json
from lake.snapshot import Manifest

NAME = "model.json"
FORMAT = 2


class Outdated(snapshot.Damaged):
    """A model snapshot is whole, but not what this version of Nightreel reads, or was never refitted."""


def describe(registered: dict | None, judged: dict, facts: dict) -> bytes:
    """model.json: what `bundle.files` told of both bundles, and facts such as metrics. registered: None when rejected."""
    return canonical_json({"format": FORMAT, "registered": registered, "judged": judged, **facts})


def part_of(manifest: Manifest, judged: bool = False) -> dict:
    """What `bundle.files` told of the weights that nights use, or of those that were judged.

    snapshot.Damaged when the file differs from its manifest, Outdated when this version of Nightreel can't read it.
    """
    told = json.loads(snapshot.read_verified(manifest, NAME))
    part = told["judged" if judged else "registered"]
    if told["format"] != FORMAT or part is None or part["features"] != list(FEATURE_NAMES):
        why = "was rejected and never refitted" if part is None else "was trained by another version of Nightreel"
        raise Outdated(f"the model of {manifest.as_of} {why}; train again: python -m jobs.train --as-of DAY")
    return part


def neighbour_rules(part: dict) -> NeighbourRules:
    """How the neighbours of a night are made and asked, of what `part_of` returns."""
    return NeighbourRules(**part["neighbours"])
