"""A small layered graph drawing: places nodes in rows so that edges are short and cross little.

After Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981: long edges
pass through a waypoint per row, rows are ordered by the mean place of their neighbours, then pulled straight.
"""

from dataclasses import dataclass

SWEEPS = 24
Node = str | tuple[str, str, int]


@dataclass(frozen=True)
class Drawing:
    """x per node (pixels, centre), and per edge the x of every row that it passes, from its source to its target."""

    x: dict[str, float]
    paths: dict[tuple[str, str], list[tuple[int, float]]]


def draw(rows: dict[str, int], edges: list[tuple[str, str]], widths: dict[str, float], gap: float = 18,
         lane: float = 12) -> Drawing:
    """Place nodes. rows: node → row, from 0 down; every edge leads to a later row. widths: pixels per node.

    gap and lane: pixels between neighbours, and the width that a passing edge takes. The same input always gives the
    same drawing.
    """
    chains = {edge: _chain(edge, rows) for edge in edges}
    depth = {node: row for node, row in rows.items()} | {
        node: node[2] for chain in chains.values() for node in chain if not isinstance(node, str)}
    layers: list[list[Node]] = [[] for _ in range(max(depth.values()) + 1)]
    for node, row in depth.items():
        layers[row].append(node)
    links = [pair for chain in chains.values() for pair in zip(chain, chain[1:], strict=False)]
    above, below = _neighbours(links, 1), _neighbours(links, 0)
    size = {node: widths[node] if isinstance(node, str) else lane for node in depth}
    _order(layers, above, below)
    x = _straighten(layers, above, below, size, gap)
    return Drawing({node: x[node] for node in rows},
                   {edge: [(depth[node], x[node]) for node in chain] for edge, chain in chains.items()})


def _chain(edge: tuple[str, str], rows: dict[str, int]) -> list[Node]:
    """The edge's ends and a waypoint per row between; edges from one source share their waypoints."""
    source, target = edge
    return [source, *((source, "to", row) for row in range(rows[source] + 1, rows[target])), target]


def _neighbours(links: list[tuple[Node, Node]], key: int) -> dict[Node, list[Node]]:
    found: dict[Node, list[Node]] = {}
    for link in dict.fromkeys(links):
        found.setdefault(link[key], []).append(link[1 - key])
    return found


def _order(layers: list[list[Node]], above: dict, below: dict) -> None:
    """Order each row by the mean place of its neighbours, down and up in turn, keeping the order with fewest
    crossings."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers, below)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else layers[::-1]:
            place = {node: n / max(len(row) - 1, 1) for row in layers for n, node in enumerate(row)}
            beside = above if down else below
            layer.sort(key=lambda node: _mean([place[other] for other in beside.get(node, [])], place[node]))
        if _crossings(layers, below) < fewest:
            best, fewest = [list(layer) for layer in layers], _crossings(layers, below)
    for layer, ordered in zip(layers, best, strict=True):
        layer[:] = ordered


def _crossings(layers: list[list[Node]], below: dict) -> int:
    count = 0
    for upper, lower in zip(layers, layers[1:], strict=False):
        place = {node: n for n, node in enumerate(lower)}
        ends = [place[other] for node in upper for other in sorted(below.get(node, []), key=lambda o: place.get(o, -1))
                if other in place]
        count += sum(later < earlier for n, earlier in enumerate(ends) for later in ends[n + 1:])
    return count


def _straighten(layers: list[list[Node]], above: dict, below: dict, size: dict, gap: float) -> dict[Node, float]:
    """x per node: towards the mean of its neighbours, as far as the row leaves room."""
    x: dict[Node, float] = {}
    for layer in layers:
        at = -sum(size[node] + gap for node in layer) / 2
        for node in layer:
            x[node] = at + size[node] / 2
            at += size[node] + gap
    for sweep in range(8 * SWEEPS):
        for layer in layers if sweep % 2 else layers[::-1]:
            wanted = [_mean([x[other] for other in above.get(node, []) + below.get(node, [])], x[node])
                      for node in layer]
            for node, place in zip(layer, _apart(wanted, [size[node] for node in layer], gap), strict=True):
                x[node] = place
    return x


def _apart(wanted: list[float], sizes: list[float], gap: float) -> list[float]:
    """The places nearest to the wanted ones (least squares) at which nothing overlaps and the order stays."""
    offsets = [0.0]
    for left, right in zip(sizes, sizes[1:], strict=False):
        offsets.append(offsets[-1] + (left + right) / 2 + gap)
    blocks: list[list[float]] = []
    for target, offset in zip(wanted, offsets, strict=False):
        blocks.append([target - offset])
        while len(blocks) > 1 and _mean(blocks[-2], 0) > _mean(blocks[-1], 0):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    flat = [_mean(block, 0) for block in blocks for _ in block]
    return [place + offset for place, offset in zip(flat, offsets, strict=False)]


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
