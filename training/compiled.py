"""The elementwise loops of the networks as nights ask them, compiled by numba; arithmetic as written, as in
`funnel/compiled.py`. Matrix products stay with numpy. What comes from there (`prefetch`, LINE, AHEAD) is compiled in:
whoever changes it changes this file too, or numba goes on with what it kept.

`error_model="numpy"`: a division by zero is infinite, and without a check for it eight numbers are divided at once.
"""

import numpy as np
from numba import njit

from funnel.compiled import AHEAD, LINE, prefetch

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
ANY_ORDER = FUSED | {"reassoc"}  # and sums are of as many at a time as the processor adds at once


@njit(cache=True, inline="always", error_model="numpy")
def silu(x: float) -> float:
    """x · sigmoid(x) = x/2 + x/2 · tanh(x/2)."""
    half = HALF * x
    y = min(max(half, -LARGEST), LARGEST)
    s = y * y
    above = (((((P6 * s + P5) * s + P4) * s + P3) * s + P2) * s + P1) * s + P0
    return half + half * (y * above / (((Q3 * s + Q2) * s + Q1) * s + Q0))


@njit(cache=True, error_model="numpy")
def standardised(columns: np.ndarray, start: int, stop: int, places: np.ndarray, mean: np.ndarray, scale: np.ndarray,
                 clip: float) -> np.ndarray:
    """f32[F, stop - start]: what columns f32[k, N] at places i64[F] hold from start on, before stop, as deviations
    within ± clip."""
    made = np.empty((len(places), stop - start), np.float32)
    for row in range(len(places)):
        source, shift, factor, target = columns[places[row], start:stop], mean[row], scale[row], made[row]
        for n in range(len(source)):
            target[n] = min(max((source[n] - shift) * factor, -clip), clip)
    return made


@njit(cache=True, error_model="numpy", fastmath=FUSED)
def first_layer(sums: np.ndarray, begun: bool, videos: np.ndarray, users: np.ndarray, video: np.ndarray, user: np.ndarray,
                hidden: int) -> None:
    """Add to sums f32[n, w] of pairs (not begun: make them) what their video and their user bring, and bend the first
    `hidden`."""
    numbers, width = videos.reshape(-1), videos.shape[1]
    for pair in range(len(sums)):
        later = video[min(pair + AHEAD, len(sums) - 1)] * width
        for place in range(later, later + width, LINE):
            prefetch(numbers, place)
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


@njit(cache=True, error_model="numpy", fastmath=FUSED)
def normed(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """f32[n, d]: a layer norm of every row."""
    made, width = np.empty_like(x), x.shape[1]
    for row in range(len(x)):
        mine, target = x[row], made[row]
        mean = _total(mine) / f(width)
        scale = f(1) / np.sqrt(_squares(mine, mean) / f(width) + f(1e-5))
        for place in range(width):
            target[place] = (mine[place] - mean) * scale * weight[place] + bias[place]
    return made


@njit(cache=True, error_model="numpy", fastmath=ANY_ORDER)
def _total(values: np.ndarray) -> float:
    total = f(0)
    for place in range(len(values)):
        total += values[place]
    return total


@njit(cache=True, error_model="numpy", fastmath=ANY_ORDER)
def _squares(values: np.ndarray, mean: float) -> float:
    """The sum of squared distances from the mean."""
    total = f(0)
    for place in range(len(values)):
        total += (values[place] - mean) * (values[place] - mean)
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


@njit(cache=True)
def play_vectors(known: np.ndarray, video: np.ndarray, liked: np.ndarray, likes: np.ndarray, offsets: np.ndarray,
                 country: np.ndarray, countries: np.ndarray) -> np.ndarray:
    """f32[T, d]: of each play its video's vector, a row of known, C-ordered (zeros for -1), and what likes f32[2, d] and
    countries f32[C, d] have for it. liked: bool[T]. country: i64[U] of the users whose plays are offsets[u] …
    offsets[u + 1]."""
    made, numbers, width = np.zeros((len(video), known.shape[1]), np.float32), known.reshape(-1), known.shape[1]
    for user in range(len(country)):
        of_country = countries[country[user]]
        for play in range(offsets[user], offsets[user + 1]):
            later = video[min(play + AHEAD, len(video) - 1)] * width
            if later >= 0:
                for place in range(later, later + width, LINE):
                    prefetch(numbers, place)
            mine, of_liking = made[play], likes[np.int64(liked[play])]
            if video[play] >= 0:
                mine[:] = known[video[play]]
            for place in range(width):
                mine[place] = mine[place] + of_liking[place] + of_country[place]
    return made


@njit(cache=True, error_model="numpy", fastmath=FUSED)
def attend(query: np.ndarray, known: np.ndarray, asked: np.ndarray, offsets: np.ndarray, event_s: np.ndarray,
           asked_s: np.ndarray, near: np.ndarray, gap_octaves: float) -> np.ndarray:
    """f32[Q, d]: what each query saw of its user's plays up to its own, as `retrieval.Block` says.

    query: f32[Q, d], of user u the last asked[u + 1] - asked[u] of the plays offsets[u] … offsets[u + 1]. known: f32[T, 2d],
    keys and values of the plays. event_s and asked_s: f64[T]. near: f32[H, 4]. A user's queries and plays are multiplied
    whole, and what follows a query's own play has no share: half of the products are of no use, and yet they are quicker.
    """
    heads, width, longest, most = len(near), query.shape[1], 0, 0
    for user in range(len(offsets) - 1):
        longest, most = max(longest, offsets[user + 1] - offsets[user]), max(most, asked[user + 1] - asked[user])
    deep, seen, gaps = width // heads, np.empty_like(query), np.empty((most, longest), np.float32)
    keys_room, values_room = np.empty(longest * deep, np.float32), np.empty(longest * deep, np.float32)
    query_room, seen_room = np.empty(most * deep, np.float32), np.zeros(most * deep, np.float32)
    share_room, scale = np.zeros(most * longest, np.float32), f(1 / np.sqrt(deep))
    back = np.empty(longest, np.float32)  # of the play so many places from the end
    for place in range(longest):
        back[place] = np.log2(f(longest - place)) / f(8)
    for user in range(len(offsets) - 1):
        start, length = offsets[user], offsets[user + 1] - offsets[user]
        first, queries = asked[user], asked[user + 1] - asked[user]
        keys, values = keys_room[:length * deep].reshape(length, deep), values_room[:length * deep].reshape(length, deep)
        asking, found = query_room[:queries * deep].reshape(queries, deep), seen_room[:queries * deep].reshape(queries, deep)
        shares = share_room[:queries * length].reshape(queries, length)
        for row in range(queries):
            own = length - queries + row
            _octaves(asked_s[start + own], event_s[start:start + own + 1], f(1 / gap_octaves), gaps[row])
        for head in range(heads):
            begin = head * deep
            for place in range(length):
                for n in range(deep):
                    keys[place, n] = known[start + place, begin + n]
                    values[place, n] = known[start + place, width + begin + n]
            for row in range(queries):
                for n in range(deep):
                    asking[row, n] = query[first + row, begin + n] * scale
            np.dot(asking, keys.T, shares)
            for row in range(queries):
                _share(shares[row], length - queries + row + 1, back, gaps[row], near[head])
            np.dot(shares, values, found)
            for row in range(queries):
                for n in range(deep):
                    seen[first + row, begin + n] = found[row, n]
    return seen


@njit(cache=True, error_model="numpy", fastmath=FUSED)
def _octaves(asked_s: float, event_s: np.ndarray, factor: float, made: np.ndarray) -> None:
    """Into made f32: log2(1 + seconds from each event to the asking, at least 0) · factor, within 4e-6 octaves: the
    exponent, and for the rest m the series of 2 / ln 2 · atanh((m - 1) / (m + 1)). Again so that many go at once."""
    for place in range(len(event_s)):
        x = f(max(asked_s - event_s[place], 0.0)) + f(1)
        bits = np.float32(x).view(np.uint32)
        m = np.uint32((bits & np.uint32(0x7FFFFF)) | np.uint32(0x3F800000)).view(np.float32)
        t = (m - f(1)) / (m + f(1))
        s = t * t
        rest = t * ((((f(1 / 9) * s + f(1 / 7)) * s + f(1 / 5)) * s + f(1 / 3)) * s + f(1)) * f(2 / np.log(2))
        made[place] = (f(np.int32(bits >> np.uint32(23))) - f(127) + rest) * factor


@njit(cache=True, error_model="numpy", fastmath=ANY_ORDER | {"nnan", "nsz"})
def _share(scores: np.ndarray, until: int, back: np.ndarray, gap: np.ndarray, near: np.ndarray) -> None:
    """Scores of plays become the shares of those before `until`, the last of which is the query's own."""
    by_place, by_gap, by_square, shift = near[0], near[1], near[2], len(back) - until
    for place in range(until):
        scores[place] += back[shift + place] * by_place + gap[place] * (gap[place] * by_square + by_gap)
    scores[until - 1] += near[3]
    top, total = scores[0], f(0)
    for place in range(until):
        top = scores[place] if scores[place] > top else top
    for place in range(until):
        scores[place] = _exp(scores[place] - top)
    for place in range(until):
        total += scores[place]
    part = f(1) / total
    for place in range(until):
        scores[place] *= part
    scores[until:] = 0


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
