"""What the leak audit of the night compared, for the nightly report."""

import json
from html import escape

from lake import storage
from publishing.live import Loaded


def audit(loaded: Loaded) -> str:
    """The findings of `jobs.audit`, or how to get them."""
    path = storage.join("audits", f"{loaded.release.as_of}-night.json")
    if not storage.exists(path):
        return ("<h2>Leak audit</h2><p>This night was not audited. "
                f"<code>python -m jobs.audit --as-of {loaded.release.as_of}</code> does it.</p>")
    told = json.loads(storage.read_bytes(path))
    rows = "".join(f"<li>{'<span class=warn>differs</span>' if one['differs'] else 'equal'}: {escape(one['check'])}, "
                   f"{escape(one['compared'])}{escape(': ' + one['differs']) if one['differs'] else ''}</li>"
                   for one in told["findings"])
    return ("<h2>Leak audit</h2><p class='soft'>A sample of users in a lake of its own, recomputed with another future "
            "after each cut; and a slice of what is served, recomputed row by row from the log "
            f"({told['seconds']} s).</p><ul>{rows}</ul>")
