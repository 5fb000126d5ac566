"""Draw the pipeline from lake/tables.py: docs/pipeline.svg, the picture of the README.

    python -m jobs.picture
"""

import argparse
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from jobs.command import run, say
from jobs.layered_drawing import Drawing, draw
from lake.tables import TABLES

PATH = Path(__file__).resolve().parent.parent / "docs" / "pipeline.svg"
WIDTH, MARGIN, BAND = 960, 16, 132
BOX, STEP, PADDING = 34, 66, 16

# What each stage is, in order; every table belongs to one.
STAGES = {
    "Landing": ("what arrived, sealed by day", ("raw_events", "raw_videos", "raw_users", "ids", "quarantine")),
    "Events": ("once each, summed per day", ("events", "tiles")),
    "Night": ("what was known at as_of", ("feature_snapshots", "catalogue", "histories", "popularity")),
    "Training": ("weekly, through a gate", ("labels", "training_examples", "model")),
    "Lists": ("every night", ("ann_index", "fallback", "recommendations")),
    "Live": ("one file, one flip", ("release",)),
}

STYLE = """
    .page { fill: #ffffff } .band { fill: #f4f5f7 } .stage { fill: #1d2433; font-weight: 600 } .what { fill: #626b7d }
    .edge { fill: none; stroke: #aab1c0; stroke-width: 1.3 } .tip { fill: #aab1c0 }
    .box { fill: #ffffff; stroke: #c3c8d4 } .name { fill: #1d2433 }
    .last .box { fill: #2f6f5e; stroke: #2f6f5e } .last .name { fill: #ffffff; font-weight: 600 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #12151b } .band { fill: #1a1e26 } .stage { fill: #e6e9f0 } .what { fill: #97a0b2 }
      .edge { stroke: #566074 } .tip { fill: #566074 } .box { fill: #222833; stroke: #3b4454 } .name { fill: #e6e9f0 }
      .last .box { fill: #3d8b76; stroke: #3d8b76 }
    }"""


def edges() -> list[tuple[str, str]]:
    """(input, table) for every table of the map."""
    return [(name, declared.name) for declared in TABLES for name in declared.inputs]


def rows() -> tuple[dict[str, int], list[tuple[int, int]]]:
    """Row of each table, and per stage its first and last row: below its inputs, and below every earlier stage."""
    row: dict[str, int] = {}
    spans, start = [], 0
    for _, names in STAGES.values():
        for declared in (declared for declared in TABLES if declared.name in names):
            row[declared.name] = max([start, *(row[name] + 1 for name in declared.inputs)])
        spans.append((start, max(row[name] for name in names)))
        start = spans[-1][1] + 1
    return row, spans


def svg() -> str:
    """The picture, the same for the same map."""
    row, spans = rows()
    widths = {name: 22 + 7.9 * len(name) for name in row}
    drawing = draw(row, edges(), widths)
    left = min(drawing.x[name] - widths[name] / 2 for name in row)
    right = max(drawing.x[name] + widths[name] / 2 for name in row)
    room = (WIDTH - MARGIN) - (MARGIN + BAND + PADDING) - PADDING
    scale = min(1.0, room / (right - left))
    shift = MARGIN + BAND + PADDING + (room - (right - left) * scale) / 2 - left * scale
    y = _heights(row, spans)
    height = round(y[max(row.values())] + BOX / 2 + PADDING + MARGIN)
    body = [_band(name, what, y[first], y[last])
            for (name, (what, _)), (first, last) in zip(STAGES.items(), spans, strict=True)]
    body += [_edge(drawing, edge, scale, shift, y) for edge in edges()]
    body += [_box(name, drawing.x[name] * scale + shift, y[row[name]], widths[name]) for name in row]
    return _page(height, body)


def _heights(row: dict[str, int], spans: list[tuple[int, int]]) -> dict[int, float]:
    """The middle of each row, pixels from the top; stages stand a little apart."""
    stage_of = {n: stage for stage, (first, last) in enumerate(spans) for n in range(first, last + 1)}
    return {n: MARGIN + PADDING + BOX / 2 + n * STEP + stage_of[n] * 10 for n in range(max(row.values()) + 1)}


def _band(name: str, what: str, top: float, bottom: float) -> str:
    start, end = top - BOX / 2 - PADDING, bottom + BOX / 2 + PADDING
    return (f'<rect class="band" x="{MARGIN}" y="{start:.0f}" width="{WIDTH - 2 * MARGIN}" height="{end - start:.0f}" '
            f'rx="8"/><text class="stage" x="{MARGIN + 14}" y="{start + 28:.0f}" font-size="15">{escape(name)}</text>'
            f'<text class="what" x="{MARGIN + 14}" y="{start + 46:.0f}" font-size="11">{escape(what)}</text>')


def _edge(drawing: Drawing, edge: tuple[str, str], scale: float, shift: float, y: dict[int, float]) -> str:
    points = [(x * scale + shift, y[row]) for row, x in drawing.paths[edge]]
    (x0, y0), parts = points[0], []
    y0 += BOX / 2
    parts.append(f"M{x0:.1f} {y0:.1f}")
    for n, (x1, y1) in enumerate(points[1:], 1):
        top, end = y1 - BOX / 2, n == len(points) - 1
        bend = (top - y0) / 2
        parts.append(f"C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {top - bend:.1f} {x1:.1f} {top - (4 if end else 0):.1f}")
        if not end:
            parts.append(f"V{y1 + BOX / 2:.1f}")
        x0, y0 = x1, y1 + BOX / 2
    return f'<path class="edge" d="{" ".join(parts)}" marker-end="url(#tip)"/>'


def _box(name: str, x: float, y: float, width: float) -> str:
    kind = ' class="last"' if name == "release" else ""
    return (f'<g{kind}><rect class="box" x="{x - width / 2:.1f}" y="{y - BOX / 2:.1f}" width="{width:.1f}" '
            f'height="{BOX}" rx="6"/><text class="name" x="{x:.1f}" y="{y + 4.5:.1f}" text-anchor="middle" '
            f'font-size="13">{escape(name)}</text></g>')


def _page(height: int, body: list[str]) -> str:
    tip = ('<marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
           '<path class="tip" d="M0 0L8 4L0 8z"/></marker>')
    title = "The way of the data: every table of lake/tables.py and what it is made from"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif">',
        f"  <title>{title}</title>", f"  <!-- made by python -m jobs.picture -->\n  <style>{STYLE}\n  </style>",
        f"  <defs>{tip}</defs>", f'  <rect class="page" width="{WIDTH}" height="{height}" rx="10"/>',
        *(f"  {part}" for part in body), "</svg>", ""])


def main(arguments: list[str]) -> None:
    argparse.ArgumentParser(prog="python -m jobs.picture", description=__doc__.splitlines()[0]).parse_args(arguments)
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(svg())
    say(f"picture: {len(TABLES)} tables, {len(edges())} edges in {PATH.relative_to(PATH.parent.parent)}")


if __name__ == "__main__":
    sys.exit(run(main))
