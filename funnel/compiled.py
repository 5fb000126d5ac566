"""The loops over pairs of users and videos, compiled by numba; arithmetic as written, so results are the same everywhere.

All in one file, because numba compiles anew what a changed file holds, not what calls it from another one.

The best n of many are kept as keys: u64 that ascend as scores fall, ties by the smaller id. Where all scores lie in one
array, a border is found that about n of them reach, and what reaches it becomes keys. Where they come piece by piece,
keys are appended while they have room, then the n smallest are chosen, and from then on what scores less than the n-th
is passed over. A heap would move numbers about for each that comes.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from scipy import sparse

STRETCH = 128
ROOM = 3  # times n: how many keys are held before the best n are chosen
SIGN, LOW = np.uint32(1 << 31), np.uint64(0xFFFFFFFF)
NONE = np.uint64(0xFFFFFFFFFFFFFFFF)  # a key that no score and number have: it would be a NaN's
HALF, HALVINGS, FEW = np.float32(0.5), 12, 200
DIGIT = 9
LINE, AHEAD = 16, 8  # numbers of four bytes that come at once; how many rows before its turn one is asked for


def prefetch(values: np.ndarray, place: int) -> None:
    """Begin to bring a place of a contiguous array of one dimension into the core's cache, without waiting for it: a
    processor looks a few hundred instructions ahead, and the next row of a sparse matrix is often further. Not compiled
    it asks whether the place is there. Source: LLVM Language Reference, `llvm.prefetch`."""
    values[place]


@overload(prefetch)
def _prefetch(values, place):
    return lambda values, place: _llvm_prefetch(values, place)


@intrinsic
def _llvm_prefetch(typing, values, place):
    def write(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        called = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        to_read, soon_again, of_data = number(0), number(3), number(1)
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [address.type], called),
                     [address, to_read, soon_again, of_data])
        return context.get_dummy_value()
    return types.void(values, place), write


def rows_of(matrix: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """indptr i64, indices u32 and data, as the loops read a sparse matrix."""
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False).view(np.uint32), matrix.data


@njit(cache=True)
def places(ascending: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """i64[n]: the first place of each of wanted u64[n] in ascending u64[m], -1 where absent.

    A bisection among the numbers that share their leading bits: few, where numbers lie evenly.
    """
    found = np.full(len(wanted), -1, np.int64)
    if not len(ascending):
        return found
    least, span, shift = ascending[0], ascending[-1] - ascending[0], np.uint64(0)
    while span >> shift > np.uint64(2 * len(ascending)):
        shift += np.uint64(1)
    until = np.zeros(np.int64(span >> shift) + 2, np.int64)  # how many numbers have fewer leading bits
    for place in range(len(ascending)):
        until[np.int64((ascending[place] - least) >> shift) + 1] = place + 1
    for lead in range(1, len(until)):
        until[lead] = max(until[lead], until[lead - 1])
    for n in range(len(wanted)):
        number = wanted[n]
        if least <= number <= ascending[-1]:
            lead = np.int64((number - least) >> shift)
            place = bisected(ascending, number, until[lead], until[lead + 1])
            if place < until[lead + 1] and ascending[place] == number:
                found[n] = place
    return found


@njit(cache=True)
def bisected(ascending: np.ndarray, number: int, low: int, high: int) -> int:
    """The first place from low on, before high, whose number is not smaller; high where all are."""
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def key_of(score: float, number: int) -> int:
    """u64 of an f32 score and a number from 0 to 2^32 - 1."""
    bits = np.float32(score + np.float32(0)).view(np.uint32)  # -0.0 is 0.0
    falling = np.uint32(bits if bits & SIGN else ~(bits | SIGN))
    return (np.uint64(falling) << np.uint64(32)) | np.uint64(number)


@njit(cache=True)
def score_of(key: int) -> float:
    """The f32 score of a key."""
    falling = np.uint32(key >> np.uint64(32))
    return np.uint32(falling if falling & SIGN else ~(falling | SIGN)).view(np.float32)


@njit(cache=True)
def number_of(key: int) -> int:
    """The number of a key."""
    return np.int64(key & LOW)


@njit(cache=True)
def choose(keys: np.ndarray, held: int, n: int) -> float:
    """Bring the n smallest of the first `held` distinct keys to the front, in any order but that the largest of them
    comes last; returns its score. 0 < n <= held. Source: Hoare, "Algorithm 65: Find", CACM 1961."""
    low, high = 0, held - 1
    while low < high:
        middle = (low + high) // 2
        keys[middle], keys[high] = keys[high], keys[middle]
        pivot, border = keys[high], low
        for place in range(low, high):  # without a branch on what can't be foreseen
            key = keys[place]
            keys[place] = keys[border]
            keys[border] = key
            border += key < pivot
        keys[high], keys[border] = keys[border], keys[high]
        if border <= n - 1:
            low = border + 1
        if border >= n - 1:
            high = border - 1
    return score_of(keys[n - 1])


@njit(cache=True)
def offer_columns(scores: np.ndarray, numbers: np.ndarray, keys: np.ndarray, held: np.ndarray, border: np.ndarray,
                  rows: np.ndarray, n: int) -> None:
    """Offer scores f32[R, W] of numbers i64[W] to the best n of some rows i64[R] of U: keys u64[U, more than n], of which
    held i64[U] are used, and border f32[U], below which no score is among them (-inf at first). Whole stretches below a
    row's border are passed over."""
    for line, row in enumerate(rows):
        mine, count, least = keys[row], held[row], border[row]
        for start in range(0, scores.shape[1], STRETCH):
            stretch = scores[line, start:start + STRETCH]
            if _any_reaches(stretch, least):
                for place in range(len(stretch)):
                    if stretch[place] >= least:
                        if count == len(mine):
                            least, count = choose(mine, count, n), n
                        mine[count] = key_of(stretch[place], numbers[start + place])
                        count += 1
        if count > n + n // 4:
            least, count = choose(mine, count, n), n
        held[row], border[row] = count, least


@njit(cache=True)
def _any_reaches(scores: np.ndarray, border: float) -> bool:
    """Without leaving early, so that the processor compares eight at a time."""
    reaches = False
    for place in range(len(scores)):
        reaches |= scores[place] >= border
    return reaches


@njit(cache=True)
def smallest(keys: np.ndarray, held: np.ndarray, n: int) -> np.ndarray:
    """u64[R, n]: each row's n smallest of the first held i64[R] of keys u64[R, at least n], in any order, NONE where
    they are fewer. keys are moved about."""
    best = np.full((len(keys), n), NONE, np.uint64)
    for row in range(len(keys)):
        if held[row] > n > 0:
            choose(keys[row], held[row], n)
        few = min(held[row], n)
        best[row, :few] = keys[row, :few]
    return best


def lists_of(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers i64[R, n] and scores f32[R, n] of rows of keys u64[R, n], best first; -1 and -inf where one is NONE. The
    rows are sorted in their place, by numpy, which takes a sixteenth of numba's time."""
    keys.sort(axis=1)
    return _read(keys)


@njit(cache=True)
def _read(keys: np.ndarray) -> tuple:
    numbers, scores = np.empty(keys.shape, np.int64), np.empty(keys.shape, np.float32)
    for row in range(len(keys)):
        for place in range(keys.shape[1]):
            key = keys[row, place]
            numbers[row, place] = -1 if key == NONE else number_of(key)
            scores[row, place] = -np.inf if key == NONE else score_of(key)
    return numbers, scores


@njit(cache=True)
def best_keys(numbers: np.ndarray, scores: np.ndarray, n: int, keys: np.ndarray) -> int:
    """At the front of keys u64[at least m]: those of the n largest positive scores f32[m] of numbers u32[m], in any
    order; returns how many."""
    if n == 0:  # keys are chosen of at least one
        return 0
    held, border = 0, _border(scores, n)
    for place in range(len(numbers)):  # without a branch: each key is written, and only counted if it is wanted
        keys[held] = key_of(scores[place], numbers[place])
        held += scores[place] > border
    if held > n:
        choose(keys, held, n)
    return min(held, n)


@njit(cache=True)
def _border(scores: np.ndarray, n: int) -> float:
    """A number from 0 on above which are at least n of the scores, or all positive ones where they are fewer; not many
    more, unless many are tied or a few are larger by far."""
    low, high = np.float32(0), np.float32(0)
    for place in range(len(scores)):
        high = scores[place] if scores[place] > high else high
    for _ in range(HALVINGS if len(scores) > n + n // 4 else 0):
        middle, above = HALF * (low + high), 0
        for place in range(len(scores)):
            above += scores[place] > middle
        if above < n:
            high = middle
        else:
            low = middle
            if above <= n + n // 4:
                break
    return low


@njit(cache=True, fastmath={"contract", "reassoc"})
def products(videos: np.ndarray, users: np.ndarray, user: np.ndarray, video: np.ndarray) -> np.ndarray:
    """f32[N]: the dot products of rows of videos f32[V, d], C-ordered, and users f32[U, d]."""
    found, numbers, width = np.empty(len(video), np.float32), videos.reshape(-1), videos.shape[1]
    for pair in range(len(video)):
        later = video[min(pair + AHEAD, len(video) - 1)] * width
        for place in range(later, later + width, LINE):
            prefetch(numbers, place)
        theirs, mine, total = videos[video[pair]], users[user[pair]], np.float32(0)
        for n in range(len(mine)):
            total += theirs[n] * mine[n]
        found[pair] = total
    return found


@njit(cache=True)
def best_of_rows(offsets: np.ndarray, scores: np.ndarray, asked: np.ndarray, n: int) -> np.ndarray:
    """Keys u64[U, n]: of each row offsets[u] … offsets[u + 1] of scores f32[N] the n largest among those asked for,
    bool[N], with their places as numbers, what is not a number last; in any order, NONE where there are fewer."""
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    best, keys = np.full((len(offsets) - 1, n), NONE, np.uint64), np.empty(longest + 1, np.uint64)
    for row in range(len(best)):
        held = 0
        for place in range(offsets[row], offsets[row + 1]):
            keys[held] = key_of(scores[place] if scores[place] == scores[place] else -np.inf, place)
            held += asked[place]
        if held > n > 0:
            choose(keys, held, n)
        few = min(held, n)
        best[row, :few] = keys[:few]
    return best


@njit(cache=True, nogil=True)
def co_watched(user_offsets: np.ndarray, user_videos: np.ndarray, video_offsets: np.ndarray, video_users: np.ndarray,
               shrink: float, ids: np.ndarray, scores: np.ndarray, held: np.ndarray) -> None:
    """Into ids i32[V, n], scores f32[V, n] and held i64[V]: the n videos that most share their users with each video.

    Of a score: users of both / (sqrt(users of one · users of the other) + shrink). user_videos: each user's distinct
    videos; video_users: each video's users.
    """
    videos = len(video_offsets) - 1
    norm = np.sqrt((video_offsets[1:] - video_offsets[:-1]).astype(np.float64)).astype(np.float32)
    total, touched = np.zeros(videos, np.float32), np.empty(videos + 1, np.uint32)
    worth, keys = np.empty(videos, np.float32), np.empty(videos, np.uint64)
    for video in range(videos):
        count = np.uint64(0)
        for entry in range(video_offsets[video], video_offsets[video + 1]):
            user = video_users[entry]
            for place in range(user_offsets[user], user_offsets[user + 1]):
                other = user_videos[place]
                before = total[other]
                touched[count] = other
                count += np.uint64(before == 0)
                total[other] = before + np.float32(1)
        total[video] = 0
        held[video] = _strongest(total, touched[:count], norm, norm[video], shrink, worth, keys, scores[video],
                                 ids[video])


@njit(cache=True, nogil=True)
def followed(row: np.ndarray, video: np.ndarray, video_offsets: np.ndarray, within: int, shrink: float, ids: np.ndarray,
             scores: np.ndarray, held: np.ndarray) -> None:
    """The same for the n videos that come most often soon after each video in plays, row i64[N] and video u32[N] by user.

    Of a score: sum of 1 / distance over the video's plays, up to `within` plays later / (its plays + shrink).
    video_offsets: i64[V+1], how many plays are of smaller videos.
    """
    videos, following, video_places = len(video_offsets) - 1, video_offsets.copy(), np.empty(len(video), np.int64)
    for place in range(len(video)):
        video_places[following[video[place]]] = place
        following[video[place]] += 1
    total, touched, same = np.zeros(videos, np.float32), np.empty(videos + 1, np.uint32), np.zeros(videos, np.float32)
    worth, keys = np.empty(videos, np.float32), np.empty(videos, np.uint64)
    for first in range(videos):
        count = np.uint64(0)
        for entry in range(video_offsets[first], video_offsets[first + 1]):
            place = video_places[entry]
            for later in range(place + 1, min(place + within + 1, len(row))):
                if row[later] != row[place]:
                    break
                then = video[later]
                before = total[then]
                touched[count] = then
                count += np.uint64(before == 0)
                total[then] = before + np.float32(1 / (later - place))
        plays = np.float32(video_offsets[first + 1] - video_offsets[first])
        total[first] = 0
        held[first] = _strongest(total, touched[:count], same, np.float32(0), plays + shrink, worth, keys,
                                 scores[first], ids[first])


@njit(cache=True)
def largest(weights: np.ndarray, ids: np.ndarray, scores: np.ndarray, held: np.ndarray) -> None:
    """The same for the n largest positive numbers of each row of f32[V, V], of which nothing is left."""
    every, same = np.arange(weights.shape[1]).astype(np.uint32), np.zeros(weights.shape[1], np.float32)
    worth, keys = np.empty(weights.shape[1], np.float32), np.empty(weights.shape[1], np.uint64)
    for row in range(len(weights)):
        held[row] = _strongest(weights[row], every, same, np.float32(0), np.float32(1), worth, keys, scores[row],
                               ids[row])


@njit(cache=True)
def _strongest(total: np.ndarray, touched: np.ndarray, norm: np.ndarray, factor: float, added: float, worth: np.ndarray,
               keys: np.ndarray, scores: np.ndarray, ids: np.ndarray) -> int:
    """Keep the best positive total / (factor · norm + added) of what is touched, in any order, and set all totals to 0
    again; returns how many. worth f32 and keys u64: room for all that is touched."""
    for place in range(len(touched)):
        number = touched[place]
        worth[place] = total[number] / (factor * norm[number] + added)
        total[number] = 0
    held = best_keys(touched, worth[:len(touched)], len(ids), keys)
    for place in range(held):
        scores[place], ids[place] = score_of(keys[place]), number_of(keys[place])
    return held


@njit(cache=True)
def first_unseen(videos: int, seen_offsets: np.ndarray, seen: np.ndarray, lists: np.ndarray, list_of: np.ndarray,
                 n: int) -> np.ndarray:
    """i64[U, n]: the first n places of each user's list that are not seen; -1 where there are fewer.

    lists: i64[L, m], -1 for none; list_of: i64[U]. seen: of each user, with offsets i64[U+1].
    """
    found, stamp = np.full((len(list_of), n), -1, np.int64), np.full(videos, -1, np.int32)
    for user in range(len(list_of)):
        stamp[seen[seen_offsets[user]:seen_offsets[user + 1]]] = user
        held = 0
        for video in lists[list_of[user]]:
            if held == n:
                break
            if video >= 0 and stamp[video] != user:
                found[user, held] = video
                held += 1
    return found


FREE, SEEN = -1, -2


@njit(cache=True)
def gather(seen: tuple, listed: tuple, listed_codes: np.ndarray, listed_most: np.ndarray, plays: tuple, near: tuple,
           near_codes: np.ndarray, near_most: np.ndarray, looked_up: int, order: np.ndarray, order_of: np.ndarray,
           order_codes: np.ndarray, at_least: int, personal: int, sources: int) -> tuple:
    """The union of all sources for U users, ordered by user, then video.

    seen: offsets i64[U+1] into places in the catalogue. listed: sources as (video i64[U, m], -1 for none, score
    f32[U, m]), best first. plays: per source of neighbours, offsets, video and weight of what each user played; near:
    indptr, indices (u32) and data of its sparse f32[V, V]. *_codes and *_most: each source's code and how many it may bring;
    sources of neighbours below `looked_up` also score what others found. A user with fewer than `at_least` gets more from
    order i64[·, W], row order_of[user], under the code order_codes u8[V]. A pair's source is the code below `personal`
    with the smallest rank, else the smallest that found it.

    Returns user i64[N], video i64[N], source u8[N], scores f32[sources, N] and ranks i32[sources, N] (0 where that source
    did not find it), and how many users W was too short for.
    """
    users, videos = len(order_of), len(order_codes)
    most = listed_most.sum() + near_most.sum() + at_least
    user_of, video_of = np.empty(users * most, np.int64), np.empty(users * most, np.int64)
    source_of = np.empty(users * most, np.uint8)
    # Rows whose distance is a multiple of 4 KiB would share their places in the cache.
    room = (users * most + 1023) // 1024 * 1024 + 48
    scores, ranks = np.empty((sources, room), np.float32), np.empty((sources, room), np.int32)
    slot_of, slots = np.full(videos, FREE, np.int32), np.empty(most, np.int64)
    found, sorting, counted = np.empty(most, np.uint32), np.empty(most, np.uint32), np.empty(1 << DIGIT, np.uint32)
    worth_of, rank_of = np.zeros((sources, most), np.float32), np.zeros((sources, most), np.int32)
    total, touched = np.zeros((len(near), videos), np.float32), np.empty((len(near), videos + 1), np.uint32)
    code, counts = np.empty(most, np.uint8), np.zeros(len(near), np.int64)
    worth, keys, best = np.empty(videos, np.float32), np.empty(videos, np.uint64), np.empty(most, np.uint64)
    written, short = 0, 0
    for user in range(users):
        used = 0
        mine = seen[1][seen[0][user]:seen[0][user + 1]]
        for video in mine:
            slot_of[video] = SEEN
        for n in range(len(listed)):
            rank, of = 0, listed_codes[n]
            for place in range(listed[n][0].shape[1]):
                video = listed[n][0][user, place]
                if rank < listed_most[n] and video >= 0 and slot_of[video] != SEEN:
                    rank += 1
                    used = _found(slot_of, found, used, video)
                    rank_of[of, slot_of[video]], worth_of[of, slot_of[video]] = rank, listed[n][1][user, place]
        for n in range(len(near)):
            counts[n], of = _reach(total[n], touched[n], user, plays[n], near[n]), near_codes[n]
            for video in mine:  # what is seen is not found, and nothing looks it up
                total[n, video] = 0
            for place in range(_best_touched(total[n], touched[n, :counts[n]], worth, keys, best, near_most[n])):
                video = number_of(best[place])
                used = _found(slot_of, found, used, video)
                rank_of[of, slot_of[video]], worth_of[of, slot_of[video]] = place + 1, score_of(best[place])
        _best_sources(rank_of[:, :used], personal, code)
        for video in order[order_of[user]]:
            if used >= at_least:
                break
            if slot_of[video] == FREE:
                code[used] = order_codes[video]
                used = _found(slot_of, found, used, video)
        short += used < at_least
        _sort_numbers(found[:used], sorting, counted, videos)
        for place in range(used):
            video = np.int64(found[place])
            slots[place], user_of[written + place] = slot_of[video], user
            video_of[written + place], source_of[written + place] = video, code[slot_of[video]]
            slot_of[video] = FREE
        slot_of[mine] = FREE
        for source in range(sources):
            for place in range(used):
                scores[source, written + place] = worth_of[source, slots[place]]
                ranks[source, written + place] = rank_of[source, slots[place]]
            rank_of[source, :used], worth_of[source, :used] = 0, 0
        for n in range(looked_up):
            for place in range(used):
                scores[near_codes[n], written + place] = total[n, found[place]]
        written += used
        for n in range(len(near)):
            for video in touched[n, :counts[n]]:
                total[n, video] = 0
    return (user_of[:written], video_of[:written], source_of[:written], scores[:, :written], ranks[:, :written],
            short if order.shape[1] < videos else 0)


@njit(cache=True)
def _found(slot_of: np.ndarray, found: np.ndarray, used: int, video: int) -> int:
    """Give a video a slot if it has none; returns how many slots are used then."""
    if slot_of[video] >= 0:
        return used
    slot_of[video], found[used] = used, video
    return used + 1


@njit(cache=True)
def _reach(total: np.ndarray, touched: np.ndarray, user: int, plays: tuple, near: tuple) -> int:
    """Add up the weighted neighbours of a user's plays; returns how many videos were touched. Neither weights nor
    neighbours are negative, so no total returns to 0, and each video is touched once. All rows are asked for, then read.
    Whether a video is new can't be foreseen, so each is written down and only counted if it is. Places are unsigned:
    numba asks of a signed one whether it counts from the end."""
    offsets, played, weights = plays
    rows, videos, strengths = near
    for place in range(offsets[user], offsets[user + 1]):
        for entry in range(rows[played[place]], rows[played[place] + 1], LINE):
            prefetch(videos, entry)
            prefetch(strengths, entry)
    count = np.uint64(0)
    for place in range(offsets[user], offsets[user + 1]):
        weight, play = weights[place], played[place]
        for entry in range(rows[play], rows[play + 1]):
            video, gain = videos[entry], weight * strengths[entry]
            before = total[video]
            touched[count] = video
            count += np.uint64((before == 0) & (gain != 0))
            total[video] = before + gain
    return np.int64(count)


@njit(cache=True)
def _best_touched(total: np.ndarray, touched: np.ndarray, worth: np.ndarray, keys: np.ndarray, best: np.ndarray,
                  n: int) -> int:
    """Into best u64[at least n] the keys of the best n positive totals of what is touched, in order; returns how many.
    worth f32 and keys u64: room for all that is touched."""
    for place in range(len(touched)):
        worth[place] = total[touched[place]]
    held = best_keys(touched, worth[:len(touched)], n, keys)
    if held > FEW:
        keys[:held].sort()
        best[:held] = keys[:held]
    else:
        _sort_few(keys, held, best)
    return held


@njit(cache=True)
def _sort_few(keys: np.ndarray, held: int, in_order: np.ndarray) -> None:
    """Into in_order: the first `held` of distinct keys, ascending: each goes where as many are as are smaller. Up to
    some 200 that takes less time than numba's sort, since the processor compares many at once."""
    for one in range(held):
        key, smaller = keys[one], 0
        for other in range(held):
            smaller += keys[other] < key
        in_order[smaller] = key


@njit(cache=True)
def _sort_numbers(numbers: np.ndarray, room: np.ndarray, counted: np.ndarray, limit: int) -> None:
    """Sort numbers u32[n] below a limit, DIGIT bits at a time from the lowest on. room: u32[at least n]; counted: u32
    of every digit. Of a few hundred that takes an eighth of numba's sort. Source: Knuth, "The Art of Computer
    Programming", volume 3, 5.2.5."""
    digits, shift = np.uint32((1 << DIGIT) - 1), np.uint32(0)
    while limit > np.int64(1) << np.int64(shift):
        counted[:] = 0
        for number in numbers:
            counted[(number >> shift) & digits] += np.uint32(1)
        start = np.uint32(0)
        for digit in range(len(counted)):
            start, counted[digit] = np.uint32(start + counted[digit]), start
        for number in numbers:
            digit = (number >> shift) & digits
            room[counted[digit]] = number
            counted[digit] += np.uint32(1)
        numbers[:] = room[:len(numbers)]
        shift += np.uint32(DIGIT)


@njit(cache=True)
def _best_sources(ranks: np.ndarray, personal: int, code: np.ndarray) -> None:
    """Into code u8: of each column of ranks i32[sources, n] the personal source with the smallest rank, ties by code;
    else the first of the others."""
    for slot in range(ranks.shape[1]):
        best = len(ranks)
        for source in range(len(ranks)):
            rank = ranks[source, slot]
            if rank and (best == len(ranks) or (source < personal and rank < ranks[best, slot])):
                best = source
        code[slot] = best


@njit(cache=True)
def diverse(table: np.ndarray, kinds: np.ndarray, limits: np.ndarray, sizes: np.ndarray, length: int, ahead: int,
            window: int) -> np.ndarray:
    """i64[U, length], -1 where a list ends: for each user, rank by rank, the entry of table i64[U, W] (best first, -1 for
    none) among the next `ahead` that least exceeds the limits, the first of those.

    kinds: i32[R, U, W] per rule, -1 is like nothing; limits: i64[R], how many of a kind may be within any `window` ranks;
    the excess of all rules counts together. sizes: i64[U], ranks to fill.
    """
    picked = np.full((len(table), length), -1, np.int64)
    open_places, chosen = np.empty(ahead, np.int64), np.empty(length, np.int64)
    for user in range(len(table)):
        held, following = 0, 0
        for rank in range(sizes[user]):
            while held < ahead and following < table.shape[1] and table[user, following] >= 0:
                open_places[held] = following
                held, following = held + 1, following + 1
            if held == 0:
                break
            best, least = 0, -1
            for slot in range(held):
                excess = _excess(kinds, limits, user, open_places[slot], chosen[max(rank - window + 1, 0):rank])
                if least < 0 or excess < least:
                    best, least = slot, excess
                if least == 0:
                    break
            chosen[rank] = open_places[best]
            picked[user, rank] = table[user, chosen[rank]]
            for slot in range(best + 1, held):
                open_places[slot - 1] = open_places[slot]
            held -= 1
    return picked


@njit(cache=True)
def _excess(kinds: np.ndarray, limits: np.ndarray, user: int, place: int, lately: np.ndarray) -> int:
    """By how many one more of its kinds would exceed the limits after what was chosen lately."""
    total = 0
    for rule in range(len(limits)):
        alike, kind = 0, kinds[rule, user, place]
        for other in lately:
            alike += kind >= 0 and kinds[rule, user, other] == kind
        total += max(alike - limits[rule] + 1, 0)
    return total


@njit(cache=True)
def strongest(played: np.ndarray, user: np.ndarray, video: np.ndarray, near: tuple) -> np.ndarray:
    """i64[n]: of a user's plays i64[U, m] (-1 for none) the first whose row has the largest positive entry for video
    i64[n] of user i64[n], ascending; -1 where none has one. near: indptr, indices (u32) and data of a sparse f32[V, V].
    A user's videos are distinct."""
    rows, videos, strengths = near
    found, most = np.full(len(video), -1, np.int64), np.zeros(len(video), np.float32)
    wanted_by, start = np.full(len(rows) - 1, -1, np.int32), 0
    while start < len(video):
        stop = start
        while stop < len(video) and user[stop] == user[start]:
            wanted_by[video[stop]] = stop
            stop += 1
        for play in played[user[start]]:
            for entry in range(rows[play], rows[play + 1]) if play >= 0 else range(0):
                one = wanted_by[videos[entry]]
                if one >= 0 and strengths[entry] > most[one]:
                    found[one], most[one] = play, strengths[entry]
        for one in range(start, stop):
            wanted_by[video[one]] = -1
        start = stop
    return found


@njit(cache=True)
def alike(play_offsets: np.ndarray, played: np.ndarray, offsets: np.ndarray, kind: np.ndarray, kinds: int) -> np.ndarray:
    """i64[N]: how many of a user's plays are of the same kind as each of its candidates; 0 for -1.

    played: i64[n] kinds of the plays, of user u the places play_offsets[u] … play_offsets[u + 1]; kind: i64[N] of the
    candidates, likewise.
    """
    found, count = np.zeros(len(kind), np.int64), np.zeros(kinds + 1, np.int64)  # the last is that of -1
    for user in range(len(offsets) - 1):
        mine = played[play_offsets[user]:play_offsets[user + 1]]
        for one in mine:
            count[one] += one >= 0
        for place in range(offsets[user], offsets[user + 1]):
            found[place] = count[kind[place]]
        for one in mine:
            count[one] = 0
    return found


@njit(cache=True, error_model="numpy")
def shares(offsets: np.ndarray, scores: np.ndarray, factors: np.ndarray, made: np.ndarray) -> None:
    """Into made f32[N]: scores f32[N] as shares of the same user's largest, at least 1e-6, times factors f64[U]."""
    for user in range(len(offsets) - 1):
        best = np.float32(1e-6)
        for place in range(offsets[user], offsets[user + 1]):
            best = max(best, scores[place])
        for place in range(offsets[user], offsets[user + 1]):
            made[place] = scores[place] / best * factors[user]


@njit(cache=True, error_model="numpy")
def means_of_kinds(offsets: np.ndarray, video: np.ndarray, kinds: np.ndarray, none: int, table: np.ndarray,
                   made: np.ndarray) -> None:
    """Into made f32[F, N], zeros: of each candidate, of user u those from offsets[u] to offsets[u + 1], the mean of its
    user's rows of table f32[U, K + 1, F] over the kinds i64[V, W] of its video i64[N]; `none` fills up, and its row
    holds zeros."""
    for user in range(len(offsets) - 1):
        for place in range(offsets[user], offsets[user + 1]):
            count = 0
            for kind in kinds[video[place]]:
                count += kind != none
                for feature in range(len(made)):
                    made[feature, place] += table[user, kind, feature]
            for feature in range(len(made)):
                made[feature, place] /= np.float32(max(count, 1))
