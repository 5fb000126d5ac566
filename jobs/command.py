"""What every command shares: one line per step, and exit codes that a scheduler can act on.

0 done; 2 bad arguments; 3 refused by the data (never retried); 1 anything else (a retry may heal it).
"""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import date

from lake import dates
from lake.refusal import Refusal

REFUSED = 3


def day(text: str) -> date:
    """A date option of a command; argparse shows what was wrong with it."""
    try:
        return dates.parse_date(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def say(line: str) -> None:
    """One line of progress, at once."""
    print(line, flush=True)


def run(main: Callable[[list[str]], None]) -> int:
    """Run a command's main and turn its outcome into an exit code; refusals are one line on standard error."""
    try:
        main(sys.argv[1:])
    except Refusal as error:
        print(f"refused: {error}", file=sys.stderr, flush=True)
        return REFUSED
    except BrokenPipeError:  # the reader had enough: `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
