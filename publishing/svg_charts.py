"""A few charts as inline SVG, for pages that must stand alone: no script, no request, light and dark by CSS classes."""

from dataclasses import dataclass
from html import escape

WIDTH = 520


@dataclass(frozen=True)
class Bar:
    """One horizontal bar: what it counts, how much, the text behind it, and whether it is the one to look at."""

    label: str
    value: float
    text: str
    accent: bool = True


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; low and high None where none was estimated."""

    value: float
    low: float | None = None
    high: float | None = None


def bars(rows: list[Bar], width: int = WIDTH) -> str:
    """Horizontal bars from 0, one per row."""
    label, text, step = _room([row.label for row in rows]), 110, 26
    top = max((row.value for row in rows), default=0) or 1
    room = width - label - text
    parts = []
    for n, row in enumerate(rows):
        y = n * step
        length = max(row.value, 0) / top * room
        parts.append(f'<text class="t" x="{label - 8}" y="{y + 17}" text-anchor="end">{escape(row.label)}</text>'
                     f'<rect class="{"a" if row.accent else "n"}" x="{label}" y="{y + 5}" width="{max(length, 1):.1f}" '
                     f'height="16" rx="2"/>'
                     f'<text class="m" x="{label + length + 6:.1f}" y="{y + 17}">{escape(row.text)}</text>')
    return _svg(width, len(rows) * step, parts, "bar chart")


def pairs(labels: list[str], shares: list[tuple[float, float]], width: int = WIDTH, height: int = 170) -> str:
    """Two shares per group side by side: the first in the accent colour, the second grey. Labels below, every share
    of 1 % or more as a percentage above."""
    top = max((max(pair) for pair in shares), default=0) or 1
    group = width / max(len(labels), 1)
    bar, base = min(group * 0.36, 26), height - 22
    parts = [f'<line class="g" x1="0" x2="{width}" y1="{base}" y2="{base}"/>']
    for n, (label, pair) in enumerate(zip(labels, shares, strict=True)):
        middle = (n + 0.5) * group
        parts.append(f'<text class="m" x="{middle:.1f}" y="{height - 6}" text-anchor="middle">{escape(label)}</text>')
        for side, (share, kind) in enumerate(zip(pair, ("a", "n"), strict=True)):
            tall = share / top * (base - 20)
            x = middle + (side - 1) * bar
            parts.append(f'<rect class="{kind}" x="{x + 1:.1f}" y="{base - tall:.1f}" width="{bar - 2:.1f}" '
                         f'height="{tall:.1f}" rx="1.5"/>')
            if share >= 0.01 and side == 0:
                parts.append(f'<text class="m s" x="{x + bar / 2:.1f}" y="{base - tall - 4:.1f}" text-anchor="middle">'
                             f'{share:.0%}</text>')
    return _svg(width, height, parts, "grouped columns")


def dots(rows: list[tuple[str, Estimate, bool]], width: int = WIDTH) -> str:
    """One estimate per row on a common scale from 0, with its interval; the flagged rows in the accent colour."""
    label, text, step = _room([name for name, _, _ in rows]), 150, 28
    top = max((row.high or row.value for _, row, _ in rows), default=0) or 1
    room = width - label - text
    parts = [f'<line class="g" x1="{label}" x2="{label}" y1="0" y2="{len(rows) * step}"/>']
    for n, (name, each, accent) in enumerate(rows):
        y, kind = n * step + step / 2, "a" if accent else "n"
        x, low, high = (label + (value if value is not None else each.value) / top * room
                        for value in (each.value, each.low, each.high))
        parts.append(f'<text class="t" x="{label - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>'
                     f'<line class="{kind} w" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
                     f'<circle class="{kind}" cx="{x:.1f}" cy="{y}" r="4.5"/>'
                     f'<text class="m" x="{label + room + 10}" y="{y + 4}">{_interval(each)}</text>')
    return _svg(width, len(rows) * step, parts, "estimates with intervals")


def trend(labels: list[str], series: dict[str, list[Estimate | None]], accent: str, width: int = WIDTH,
          height: int = 200) -> str:
    """Lines over labels (dates), the accent one with its intervals, each named at its right end."""
    known = [each for line in series.values() for each in line if each]
    top = max((each.high or each.value for each in known), default=0) or 1
    base, right = height - 22, 120
    step = (width - right - 24) / max(len(labels) - 1, 1)
    parts = [f'<line class="g" x1="0" x2="{width - right}" y1="{base}" y2="{base}"/>']
    parts += [f'<text class="m" x="{12 + n * step:.1f}" y="{height - 6}" '
              f'text-anchor="{"start" if n == 0 else "middle"}">{escape(label)}</text>'
              for n, label in enumerate(labels) if len(labels) <= 6 or n % (len(labels) // 5) == 0]
    ends = []
    for name, line in sorted(series.items(), key=lambda item: item[0] == accent):
        kind = "a" if name == accent else "n"
        points = [(12 + n * step, base - each.value / top * (base - 14), each) for n, each in enumerate(line) if each]
        if not points:
            continue
        parts.append(f'<polyline class="{kind} l" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)}"/>')
        parts += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y, _ in points]
        parts += [f'<line class="{kind} w" x1="{x:.1f}" x2="{x:.1f}" y1="{base - each.low / top * (base - 14):.1f}" '
                  f'y2="{base - each.high / top * (base - 14):.1f}"/>' for x, _, each in points
                  if name == accent and each.low is not None and each.high is not None]
        ends.append((points[-1][1], name, kind))
    parts += _end_labels(sorted(ends), width - right + 6)
    return _svg(width, height, parts, "trend")


def _end_labels(ends: list[tuple[float, str, str]], x: float) -> list[str]:
    parts, lowest = [], -20.0
    for y, name, kind in ends:
        lowest = max(y + 4, lowest + 14)
        weight = ' font-weight="600"' if kind == "a" else ""
        parts.append(f'<text class="{"t" if kind == "a" else "m"}"{weight} x="{x}" y="{lowest:.1f}">'
                     f'{escape(name)}</text>')
    return parts


def _room(labels: list[str]) -> int:
    """Pixels that the longest label takes."""
    return 16 + round(7.4 * max(map(len, labels), default=0))


def _interval(each: Estimate) -> str:
    if each.low is None or each.high is None:
        return f"{each.value:.4f}"
    return f"{each.value:.4f}  [{each.low:.4f}, {each.high:.4f}]"


def _svg(width: int, height: int, parts: list[str], what: str) -> str:
    return (f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{what}" style="max-width:{width}px">'
            f'{"".join(parts)}</svg>')
