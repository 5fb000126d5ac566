"""Put the live release into the Redis of REDIS_URL, for services that look lists up; readers change over at once.

    python -m jobs.push [--release NUMBER]

jobs.release, jobs.rollback and jobs.block do this themselves where REDIS_URL is set. Run again, it changes nothing;
after a failure it heals. Exit code 0: that release, or a newer one of this home, is online.
"""

import argparse
import os
import sys
import time

from jobs.command import run, say
from lake.refusal import Refusal
from publishing.live import NoRelease


def after_release() -> None:
    """Push the live release where lists go online at all."""
    if os.environ.get("REDIS_URL"):
        push()


def push(number: int | None = None) -> None:
    """Push and say what became of it. Leaves with exit code 1 when Redis failed; the release stands all the same."""
    from publishing import online_store  # who has no Redis need not wait for its client

    started = time.monotonic()
    try:
        done = online_store.push(number)
    except (NoRelease, online_store.OtherHome) as error:
        raise Refusal(str(error)) from error
    except online_store.OnlineFailed as error:
        sys.exit(f"not pushed: {error}. The release stands, and online is what was there before, or this, whole; "
                 "to try again: python -m jobs.push")
    counts, release = done.release.counts, done.release
    facts = {online_store.PUSHED: f"release {release.number} is online; {counts['rows']:,} rows for "
                                  f"{counts['users']:,} users",
             online_store.ALREADY_ONLINE: f"release {release.number} was online already",
             online_store.NEWER_ONLINE: f"release {done.online} is online, which is newer than {release.number}; "
                                        "nothing changed"}
    say(f"push {release.as_of}: {facts[done.how]}, {time.monotonic() - started:.1f} s")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.push", description=__doc__.splitlines()[0])
    parser.add_argument("--release", type=int, metavar="NUMBER", help="by default the live one")
    options = parser.parse_args(arguments)
    if not os.environ.get("REDIS_URL"):
        parser.error("REDIS_URL is not set, so there is nowhere to push to; for example: "
                     "REDIS_URL=redis://127.0.0.1:6379/0 python -m jobs.push")
    push(options.release)


if __name__ == "__main__":
    sys.exit(run(main))
