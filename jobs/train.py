"""Train a model as of a date, judge it on the days before, and promote it when it wins.

    python -m jobs.train --as-of 2026-02-02 [--holdout-days 7]

Reads what `jobs.training_tables` builds. A rejected model is an outcome, not a failure: exit code 0, and the promotion
log says why. Run again, it finds what it made and changes nothing.
"""

import argparse
import sys
import time
from datetime import date

from jobs.command import day, run, say
from lake import numbered_log, snapshot, writing
from lake.refusal import Refusal
from lake.snapshot import Manifest, Plan
from training import needs

LONGEST_HOLDOUT = 365


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.train", description=__doc__.splitlines()[0])
    parser.add_argument("--as-of", required=True, type=day, help="the training's day, YYYY-MM-DD")
    parser.add_argument("--holdout-days", type=int, default=needs.HOLDOUT_DAYS, metavar="DAYS",
                        help="days before it that the model is judged on")
    options = parser.parse_args(arguments)
    if not 1 <= options.holdout_days <= LONGEST_HOLDOUT:
        parser.error(f"--holdout-days {options.holdout_days}: judge on 1 to {LONGEST_HOLDOUT} days")
    plan = needs.plan(options.as_of, options.holdout_days)
    manifest = writing.reuse(plan)
    entry = logged(plan.identity)
    if manifest and entry:
        version = entry["registered_version"] or "not in MLflow then"
        say(f"train {plan.as_of}: {entry['decision']} before (version {version}): {entry['reason']}")
        if entry["registered_version"] is not None:
            return
    manifest = manifest or _train(plan, options.holdout_days)
    _record(manifest)


def logged(identity: str) -> dict | None:
    """The promotion log's entry of a training."""
    return next((entry for entry in numbered_log.entries("promotions") if entry["identity"] == identity), None)


def _train(plan: Plan, holdout_days: int) -> Manifest:
    from training import card, session

    started = time.monotonic()
    try:
        outcome = session.run(plan.as_of, holdout_days, say)
    except session.TooLittle as error:
        raise Refusal(f"train {plan.as_of}: {error}") from error
    seconds = round(time.monotonic() - started, 3)
    with writing.attempt_at(plan) as attempt:
        parts = [writing.write_file(attempt, name, content) for name, content in sorted(outcome.files.items())]
        writing.commit(attempt, parts, [_check(outcome.facts)], outcome.facts, {"seconds": seconds})
    manifest = snapshot.load("model", plan.as_of, plan.identity)
    for line in card.table(outcome.facts["judged"]):
        say(line)
    say(f"model {plan.as_of}: {'passed' if outcome.facts['promoted'] else 'rejected'}: {outcome.facts['reason']}, "
        f"{seconds:.1f} s")
    return manifest


def _check(facts: dict) -> dict:
    """The gate's verdict in the form of a manifest's checks: a rejected model is kept, so it only warns."""
    ndcg = facts["judged"]["ndcg@10"]["model"]["value"]
    return {"check": "gate", "observed": ndcg, "bound": [None, None], "severity": "warn", "passed": facts["promoted"],
            "why": facts["reason"]}


def _record(manifest: Manifest) -> None:
    """Register in MLflow as far as it answers, then write the promotion log, which decides, then MLflow's aliases."""
    from training import registration, registry

    version = run_id = None
    try:
        version, run_id = registration.register(manifest)
    except registry.Unavailable as error:
        say(f"model {manifest.as_of}: not in MLflow yet, run the same command again when it is back. {error}")
    made = numbered_log.append("promotions", lambda _: _entry(manifest, version, run_id))
    if made:
        say(f"promotion {made['number']}: {made['decision']}, {made['reason']}")
    try:
        aliases = registry.repair_aliases()
        said = ", ".join(f"{name} = {number}" for name, number in sorted(aliases.items()))
        say(f"MLflow: model nightreel version {version}, aliases {said or 'none'}")
    except registry.Unavailable as error:
        say(f"MLflow's aliases are as they were; the next training repairs them. {error}")


def _entry(manifest: Manifest, version: int | None, run_id: str | None) -> dict | None:
    """The log entry of a training, None when there is one; asked again when another training was faster."""
    from training import session

    if logged(manifest.identity):
        return None
    facts, promoted, reason = manifest.extra, manifest.extra["promoted"], manifest.extra["reason"]
    newest = max((date.fromisoformat(entry["as_of"]) for entry in numbered_log.entries("promotions")
                  if entry["decision"] == "promoted"), default=None)
    if promoted and newest is not None and manifest.as_of < newest:
        promoted, reason = False, f"a training of {newest} was promoted meanwhile; an older one never follows it"
    return {"as_of": manifest.as_of.isoformat(), "identity": manifest.identity, "content_hash": manifest.content_hash,
            "decision": "promoted" if promoted else "rejected", "reason": reason,
            "metrics": session.metrics_of(facts), "judged": facts["judged"] | {"underpowered": facts["underpowered"]},
            "registered_version": version, "run_id": run_id}


if __name__ == "__main__":
    sys.exit(run(main))
