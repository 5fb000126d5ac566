"""The elementwise loops of the networks as nights ask them, compiled by numba; arithmetic as written, as in
`funnel/compiled.py`. Matrix products stay with numpy.

`error_model="numpy"`: a division by zero is infinite, and without a check for it eight numbers are divided at once.
"""

import numpy as np
from numba import njit

f = np.float32
# tanh(x) = x · P(x²) / Q(x²) within 1e-6 where |x| < LARGEST, where it is 1 beyond: the coefficients of Eigen's `ptanh`.
# Plain products and sums, where exp calls a library number by number.
LARGEST = f(7.9053111)
P0, P1, P2, P3, P4, P5, P6 = (f(4.89352455891786e-03), f(6.37261928875436e-04), f(1.48572235717979e-05),
                              f(5.12229709037114e-08), f(-8.60467152213735e-11), f(2.00018790482477e-13),
                              f(-2.76076847742355e-16))
Q0, Q1, Q2, Q3 = f(4.89352518554385e-03), f(2.26843463243900e-03), f(1.18534705686654e-04), f(1.19825839466702e-06)
HALF = f(0.5)
FUSED = {"contract"}  # a product and a sum may be one instruction; nothing else is taken apart


@njit(cache=True, inline="always", error_model="numpy")
def silu(x: float) -> float:
    """x · sigmoid(x) = x/2 + x/2 · tanh(x/2)."""
    half = HALF * x
    y = min(max(half, -LARGEST), LARGEST)
    s = y * y
    above = (((((P6 * s + P5) * s + P4) * s + P3) * s + P2) * s + P1) * s + P0
    return half + half * (y * above / (((Q3 * s + Q2) * s + Q1) * s + Q0))


@njit(cache=True, error_model="numpy")
def standardised(columns: np.ndarray, places: np.ndarray, mean: np.ndarray, scale: np.ndarray,
                 clip: float) -> np.ndarray:
    """f32[F, n]: some columns, f32[k, n] at places i64[F], as deviations within ± clip."""
    made = np.empty((len(places), columns.shape[1]), np.float32)
    for row in range(len(places)):
        source, shift, factor, target = columns[places[row]], mean[row], scale[row], made[row]
        for n in range(len(source)):
            target[n] = min(max((source[n] - shift) * factor, -clip), clip)
    return made


@njit(cache=True, error_model="numpy", fastmath=FUSED)
def first_layer(sums: np.ndarray, begun: bool, videos: np.ndarray, users: np.ndarray, video: np.ndarray, user: np.ndarray,
                hidden: int) -> None:
    """Add to sums f32[n, w] of pairs (not begun: make them) what their video and their user bring, and bend the first
    `hidden`."""
    for pair in range(len(sums)):
        mine, of_video, of_user = sums[pair], videos[video[pair]], users[user[pair]]
        if begun:
            for place in range(hidden):
                mine[place] = silu(mine[place] + of_video[place] + of_user[place])
            for place in range(hidden, len(mine)):
                mine[place] += of_video[place] + of_user[place]
        else:
            for place in range(hidden):
                mine[place] = silu(of_video[place] + of_user[place])
            for place in range(hidden, len(mine)):
                mine[place] = of_video[place] + of_user[place]


@njit(cache=True, error_model="numpy", fastmath=FUSED)
def bend(sums: np.ndarray, bias: np.ndarray) -> None:
    """sums f32[n, w] becomes silu(sums + bias)."""
    for row in range(len(sums)):
        mine = sums[row]
        for place in range(len(mine)):
            mine[place] = silu(mine[place] + bias[place])


LANES = 8


@njit(cache=True, error_model="numpy")
def normed(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """f32[n, d]: a layer norm of every row; sums of eight at a time, one after another they would wait for each other."""
    made, lanes, width = np.empty_like(x), np.empty(LANES, np.float32), x.shape[1]
    for row in range(len(x)):
        mine, target = x[row], made[row]
        mean = _total(mine, f(0), lanes, False) / f(width)
        scale = f(1) / np.sqrt(_total(mine, mean, lanes, True) / f(width) + f(1e-5))
        for place in range(width):
            target[place] = (mine[place] - mean) * scale * weight[place] + bias[place]
    return made


@njit(cache=True, error_model="numpy")
def _total(values: np.ndarray, mean: float, lanes: np.ndarray, squared: bool) -> float:
    """The sum of values, or of their squared distances from the mean."""
    lanes[:] = 0
    whole = len(values) // LANES * LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            apart = values[start + lane] - mean
            lanes[lane] += apart * apart if squared else apart
    total = f(0)
    for lane in range(LANES):
        total += lanes[lane]
    for place in range(whole, len(values)):
        apart = values[place] - mean
        total += apart * apart if squared else apart
    return total


@njit(cache=True, error_model="numpy", fastmath=FUSED)
def gated(both: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """f32[n, w] from value and gate, f32[n, 2 w] and their bias: value · silu(gate)."""
    width = both.shape[1] // 2
    made = np.empty((len(both), width), np.float32)
    for row in range(len(both)):
        mine, target = both[row], made[row]
        for place in range(width):
            target[place] = (mine[place] + bias[place]) * silu(mine[width + place] + bias[width + place])
    return made


@njit(cache=True, error_model="numpy")
def attend(query: np.ndarray, known: np.ndarray, asked: np.ndarray, offsets: np.ndarray, event_s: np.ndarray,
           asked_s: np.ndarray, near: np.ndarray, gap_octaves: float) -> np.ndarray:
    """f32[Q, d]: what each query saw of its user's plays up to its own, as `retrieval.Block` says.

    query: f32[Q, d], of user u the last asked[u + 1] - asked[u] of the plays offsets[u] … offsets[u + 1]. known: f32[T, 2d],
    keys and values of the plays. event_s and asked_s: f64[T]. near: f32[H, 4].
    """
    heads, width, longest = len(near), query.shape[1], np.diff(offsets).max()
    deep, seen, turned = width // heads, np.zeros_like(query), np.empty((width, longest), np.float32)
    gap, weight, scale = np.empty(longest, np.float32), np.empty(longest, np.float32), f(1 / np.sqrt(deep))
    back = (np.log2(np.arange(longest) + 1) / 8).astype(np.float32)
    for user in range(len(offsets) - 1):
        start, length = offsets[user], offsets[user + 1] - offsets[user]
        for place in range(length):
            for n in range(width):
                turned[n, place] = known[start + place, n]
        for asking in range(asked[user], asked[user + 1]):
            own = length - (asked[user + 1] - asking)
            for place in range(own + 1):
                ago_s = max(asked_s[start + own] - event_s[start + place], 0.0)
                gap[place] = np.log2(f(ago_s) + f(1)) / f(gap_octaves)
            for head in range(heads):
                for place in range(own + 1):
                    weight[place] = back[own - place] * near[head, 0] + gap[place] * (gap[place] * near[head, 2]
                                                                                      + near[head, 1])
                weight[own] += near[head, 3]
                for n in range(head * deep, (head + 1) * deep):
                    number, keys = query[asking, n] * scale, turned[n]
                    for place in range(own + 1):
                        weight[place] += number * keys[place]
                _softmax(weight[:own + 1])
                mine = seen[asking, head * deep:(head + 1) * deep]
                for place in range(own + 1):
                    share, values = weight[place], known[start + place, width + head * deep:width + (head + 1) * deep]
                    for n in range(deep):
                        mine[n] += share * values[n]
    return seen


@njit(cache=True, error_model="numpy")
def _softmax(weight: np.ndarray) -> None:
    """Weights become shares."""
    top, total = weight[0], f(0)
    for place in range(len(weight)):
        top = max(top, weight[place])
    for place in range(len(weight)):
        weight[place] = _exp(weight[place] - top)
    for place in range(len(weight)):
        total += weight[place]
    for place in range(len(weight)):
        weight[place] /= total


@njit(cache=True, inline="always", error_model="numpy")
def _exp(x: float) -> float:
    """exp(x) of x <= 0 as exp(x / 64)^64, within 1e-5 of it; below -30 it is that of -30. Again so that eight go at once."""
    y = max(x, f(-30)) * f(1 / 64)
    power = ((((f(1 / 120) * y + f(1 / 24)) * y + f(1 / 6)) * y + HALF) * y + f(1)) * y + f(1)
    power *= power
    power *= power
    power *= power
    power *= power
    power *= power
    return power * power
