"""Data Docs that stand alone. GX's pages take scripts, styles and a counted image from eight other servers, and their
first page is empty without them: here every outside reference is cut out, and a style sheet and first page are ours."""

import re
from html import escape

_OUTSIDE = re.compile(r"<script\b.*?</script>|<link\b[^>]*>|<img\b[^>]*>|<footer\b.*?</footer>", re.DOTALL)
_POLICY = ('<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">'
           '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">')

STYLE = """<style>
:root { --page: #fff; --ink: #1d2433; --soft: #626b7d; --line: #e3e6ec; --good: #2f6f5e; --bad: #b3261e;
  color-scheme: light dark }
@media (prefers-color-scheme: dark) { :root { --page: #12151b; --ink: #e6e9f0; --soft: #97a0b2; --line: #2b313c;
  --good: #4fa58c; --bad: #f2857c } }
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  Helvetica, Arial, sans-serif; max-width: 1120px; margin: 0 auto; padding: 28px }
a { color: var(--good) } h4, h5, h6 { font-size: 16px; margin: 22px 0 6px } .lead { color: var(--soft) }
.navbar { height: auto !important; border: 0 }
.breadcrumb { list-style: none; display: flex; gap: 10px; padding: 0; margin: 0 }
.navbar-brand, .card, .popover, .cooltip .top { display: none }
body > .container-fluid > .row { display: grid; grid-template-columns: 220px 1fr; gap: 44px }
.sticky { position: static }
#navigation { max-height: none !important }
#navigation ul, .nav { list-style: none; padding: 0; margin: 0; font-size: 14px }
table { border-collapse: collapse; width: 100%; font-size: 14px }
th { text-align: left; color: var(--soft); white-space: nowrap }
table, .table { background: none !important; color: inherit !important }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
.text-success::before { content: "\\2713"; color: var(--good); font-style: normal; font-weight: 700 }
.text-danger::before, .text-warning::before { content: "\\2717";
  color: var(--bad); font-style: normal; font-weight: 700 }
.bad { color: var(--bad) } .soft { color: var(--soft) } .collapse { display: block }
@media (max-width: 800px) { body > .container-fluid > .row { display: block } }
</style>"""


def alone(page: str) -> str:
    """A page of GX that requests nothing."""
    return _OUTSIDE.sub("", page).replace("<head>", f"<head>{_POLICY}", 1).replace("</head>", f"{STYLE}</head>", 1)


def first_page(kept: list[dict], pages: dict[tuple[str, str], str]) -> str:
    """What was judged, one line per snapshot. pages: (table, identity) → the address of its result."""
    rows = "".join(_row(told, pages) for told in kept) or "<tr><td>Nothing was judged.</td></tr>"
    head = "".join(f"<th>{name}</th>" for name in ("table", "as_of", "result", "checks", "suite"))
    return (f"<!doctype html><html lang='en'><head>{_POLICY}<title>Nightreel: what was checked</title>{STYLE}</head>"
            "<body><h1>What was checked</h1><p class='soft'>Great Expectations' verdict on every table before it was "
            "committed. A refused table was not committed. Sentences and reasons: validation/suites.py.</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></body></html>")


def _row(told: dict, pages: dict[tuple[str, str], str]) -> str:
    wrong = [result for result in told["results"] if not result["passed"]]
    refused = any(result["severity"] == "fail" for result in wrong)
    verdict = ('<span class="bad">refused</span>' if refused else f"{len(wrong)} warned" if wrong else "held")
    page = pages.get((told["table"], told["identity"]), "")
    return (f'<tr><td>{escape(told["table"])}</td><td>{escape(told["as_of"])}</td><td>{verdict}</td>'
            f'<td><a href="{escape(page)}">{len(told["results"])} checks</a></td>'
            f'<td><a href="expectations/{escape(told["table"])}.html">suite</a></td></tr>')
