"""Take a video out of every list, at once and in every night to come; a rollback does not bring it back.

    python -m jobs.block --video 4711 --reason "rights withdrawn"
"""

import argparse
import sys

from jobs import push
from jobs.command import run, say
from lake.refusal import Refusal
from publishing.release import NotReleased
from publishing.rollback import block, video_of


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.block", description=__doc__.splitlines()[0])
    parser.add_argument("--video", required=True, metavar="ID", help="its id in your log")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for those who ask later")
    options = parser.parse_args(arguments)
    if not 0 < len(options.reason) <= 500 or not options.reason.isprintable():
        parser.error("--reason is one line of 1 to 500 printable characters")
    try:
        release = block(video_of(options.video), options.reason)
    except NotReleased as error:
        raise Refusal(str(error)) from error
    say(f"release {release.as_of}: video {options.video} is in no list from release {release.number} on "
        f"({release.counts['rows']:,} rows for {release.counts['users']:,} users)")
    push.after_release()


if __name__ == "__main__":
    sys.exit(run(main))
