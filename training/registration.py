"""A model snapshot as a record for MLflow, made from the snapshot alone: a training can be registered days later."""

from collections import defaultdict

from funnel.ranking import FEATURE_NAMES
from lake import snapshot
from lake.snapshot import Manifest
from training import card, registry, session


def register(manifest: Manifest) -> tuple[int, str]:
    """The version of this training in MLflow, found or made, and its run. registry.Unavailable when MLflow is down."""
    version = registry.register(record(manifest))
    return version, registry.run_of(version)


def record(manifest: Manifest) -> registry.Record:
    """Everything MLflow shows of a training. Weights are verified against the manifest on the way."""
    facts = manifest.extra
    files = {name: snapshot.read_verified(manifest, name) for name in _names(manifest)}
    text = card.card(manifest.as_of.isoformat(), manifest.identity, facts)
    numbers = {_name(name): float(value) for name, value in session.metrics_of(facts).items()
               if isinstance(value, int | float)}
    return registry.Record(
        as_of=manifest.as_of.isoformat(), identity=manifest.identity, content_hash=manifest.content_hash,
        promoted=facts["promoted"], reason=facts["reason"], parameters=_parameters(manifest), metrics=numbers,
        epochs=_epochs(facts["epochs"]),
        inputs={name.replace(" ", "."): value for name, value in manifest.inputs.items()},
        files=files | card.plots(facts) | {"card.md": text.encode()},
        inference=(tuple(FEATURE_NAMES), tuple(facts["heads"])), card=text)


def _names(manifest: Manifest) -> list[str]:
    return [file["path"].rpartition("/")[2] for file in manifest.files]


def _parameters(manifest: Manifest) -> dict[str, object]:
    facts = manifest.extra
    return {"holdout_days": manifest.parameters["holdout_days"], "label_days": facts["label_days"],
            **{f"{part}.{name}": value for part in ("retrieval", "ranker", "neighbours")
               for name, value in facts[part].items()}}


def _epochs(epochs: list[dict]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for epoch in epochs:
        for name, value in epoch["values"].items():
            found[_name(f"{epoch['stage']}/{name}")].append(float(value))
    return dict(found)


def _name(text: str) -> str:
    """A metric's name in the characters that MLflow allows."""
    return text.replace("@", "_at_")
