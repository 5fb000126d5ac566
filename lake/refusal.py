"""What every layer raises for data or requests that it can't accept. Imports nothing: commands know it before they load."""


class Refusal(Exception):
    """The data or the request can't be accepted; the message says what, why, where and the command that fixes it. No retry
    heals it: commands end with `jobs.command.REFUSED`."""
