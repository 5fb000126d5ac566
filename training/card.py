"""What people read of a training: the model card in Markdown, the judged table in a terminal, and the plots."""

import io
from collections import defaultdict

from funnel.night import BASELINES
from training.evaluation import CHAMPION, OURS

SHOWN = ("ndcg@10", "recall@10", "recall@100", "hit_rate@10")


def table(told: dict) -> list[str]:
    """The judged systems, best first, a line each. told: `evaluation.summary`."""
    if not told["users"]:
        return ["nobody to judge"]
    names = sorted(told["ndcg@10"], key=lambda name: -(told["ndcg@10"][name]["value"] or 0))
    lines = [f"{'judged on ' + format(told['users'], ',') + ' users':24} {'ndcg@10 [95 %]':>24} {'recall@10':>10} "
             f"{'recall@100':>11} {'hit rate@10':>12} {'coverage':>9}"]
    for name in names:
        ndcg = told["ndcg@10"][name]
        rest = [told[metric][name]["value"] for metric in SHOWN[1:]]
        lines.append(f"{_title(name):24} {_number(ndcg['value']):>8} [{_number(ndcg['low'])}, {_number(ndcg['high'])}] "
                     f"{_number(rest[0]):>10} {_number(rest[1]):>11} {_number(rest[2]):>12} "
                     f"{_number(told['coverage@10'][name]):>9}")
    return lines


def _title(name: str) -> str:
    return {OURS: "this model", CHAMPION: "the champion", "all": "most popular", "7d": "popular in 7 days",
            "decayed": "decayed popularity", "smoothed": "smoothed popularity"}.get(name, name)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def card(as_of: str, identity: str, facts: dict) -> str:
    """The model card. facts: the model snapshot's `extra`."""
    told, since, near = facts["judged"], facts["judged_since"], facts["neighbours"]
    lines = [
        f"# nightreel, trained as of {as_of}", "",
        f"**{'Promoted' if facts['promoted'] else 'Rejected'}**: {facts['reason']}.", "",
        "Retrieval (a causal transformer over a user's plays, and a video tower of id, creator, categories and "
        "duration) and ranker (what is played from lists that retrieval made; what follows a show or a play), judged "
        "as one funnel and registered as one version.", "",
        "## Judged", "",
        f"Fitted on what had arrived before {since}, judged on [{since}, {as_of}): full ranking over the catalogue "
        f"as of {since}, videos the user had not seen, histories cut at {since}.", "", "```", *table(told), "```", "",
        *(f"- {note}" for note in facts["notes"]),
        "" if facts["promoted"] else "Not refitted: the registered weights are the judged ones.",
        "## Learned from", "",
        f"- {facts['plays']:,} plays of {facts['users']:,} users, {facts['videos']:,} known videos",
        f"- lists of the last {facts['label_days']} days before the fit: as {facts['nights']} of their nights would have "
        "made them, and in the middle of what users watched",
        f"- EASE with a ridge of {near['ridge']:g}; among the last plays one weighs {near['lately_fade']:g} of the next "
        "newer one",
        f"- heads: {', '.join(facts['heads'])}" + _lacking(facts["heads"]), "",
        "## Use and limits", "",
        "Lists for people with a history; everyone else gets the popular list. `play` means: plays it, given that the "
        "person comes back. Judged on what the service showed, so what it never shows is underrated.", "",
        f"Training identity `{identity}`. Weights are safetensors; nothing in this version runs code when read."]
    return "\n".join(line for line in lines if line is not None) + "\n"


def _lacking(heads: list[str]) -> str:
    missing = [name for name in ("completion", "like", "watch_ms", "shown_play") if name not in heads]
    return f" (the log teaches no {', '.join(missing)})" if missing else ""


def plots(facts: dict) -> dict[str, bytes]:
    """File name → PNG: loss per epoch, reliability of each head, NDCG@10 beside the baselines."""
    import matplotlib

    matplotlib.use("Agg")
    return {"plots/loss.png": _loss(facts["epochs"]), "plots/reliability.png": _reliability(facts["reliability"]),
            "plots/quality.png": _quality(facts["judged"])}


def _png(figure: object) -> bytes:
    from matplotlib import pyplot

    content = io.BytesIO()
    figure.tight_layout()
    figure.savefig(content, format="png", dpi=110)
    pyplot.close(figure)
    return content.getvalue()


def _loss(epochs: list[dict]) -> bytes:
    from matplotlib import pyplot

    stages: dict[str, list[float]] = defaultdict(list)
    for epoch in epochs:
        stages[epoch["stage"]].append(epoch["values"]["loss"])
    figure, axes = pyplot.subplots(-(-max(len(stages), 1) // 4), 4, figsize=(14, 2.8 * -(-len(stages) // 4)))
    for axis in axes.flat[len(stages):]:
        axis.axis("off")
    for axis, (stage, losses) in zip(axes.flat, stages.items(), strict=False):
        axis.plot(range(1, len(losses) + 1), losses, marker="o")
        axis.set(title=stage, xlabel="epoch", ylabel="loss")
    return _png(figure)


def _reliability(heads: dict[str, list[dict]]) -> bytes:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, max(len(heads), 1), figsize=(3 * max(len(heads), 1), 3), squeeze=False)
    for axis, (name, bins) in zip(axes[0], heads.items(), strict=False):
        predicted, observed = [each["predicted"] for each in bins], [each["observed"] for each in bins]
        top = max([*predicted, *observed, 1e-3])
        axis.plot([0, top], [0, top], color="grey", linewidth=1)
        axis.plot(predicted, observed, marker="o")
        axis.set(title=name, xlabel="predicted", ylabel="observed on held-out rows")
    return _png(figure)


def _quality(told: dict) -> bytes:
    from matplotlib import pyplot

    ndcg = told["ndcg@10"]
    systems = [name for name in (*BASELINES, CHAMPION, OURS) if name in ndcg and ndcg[name]["value"] is not None]
    figure, axis = pyplot.subplots(figsize=(6, 0.6 * len(systems) + 1.2))
    for place, name in enumerate(systems):
        each = ndcg[name]
        axis.plot([each["low"], each["high"]], [place, place], color="grey")
        axis.plot(each["value"], place, "o", color="tab:blue" if name == OURS else "black")
    axis.set(yticks=range(len(systems)), yticklabels=[_title(name) for name in systems])
    axis.set_xlabel("NDCG@10, 95 % interval")
    return _png(figure)
