"""The loops over pairs of users and videos, compiled by numba; arithmetic as written, so results are the same everywhere.

All in one file, because numba compiles anew what a changed file holds, not what calls it from another one.

The best n of many are kept as keys: u64 that ascend as scores fall, ties by the smaller id. Keys are appended while they
have room, then the n smallest are chosen, and from then on what scores less than the n-th is passed over. A heap would
move numbers about for each that comes.
"""

import numpy as np
from numba import njit

STRETCH = 128
ROOM = 3  # times n: how many keys are held before the best n are chosen
SIGN, LOW = np.uint32(1 << 31), np.uint64(0xFFFFFFFF)


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
def in_order(keys: np.ndarray, held: int, n: int) -> int:
    """Sort the n smallest of the first `held` keys, or all of them where they are fewer; returns how many."""
    if held > n:
        choose(keys, held, n)
        held = n
    keys[:held].sort()
    return held


@njit(cache=True, fastmath={"contract", "reassoc"})
def products(videos: np.ndarray, users: np.ndarray, user: np.ndarray, video: np.ndarray) -> np.ndarray:
    """f32[N]: the dot products of rows of videos f32[V, d] and users f32[U, d]."""
    found = np.empty(len(video), np.float32)
    for pair in range(len(video)):
        theirs, mine, total = videos[video[pair]], users[user[pair]], np.float32(0)
        for n in range(len(mine)):
            total += theirs[n] * mine[n]
        found[pair] = total
    return found


@njit(cache=True)
def rows_in_order(keys: np.ndarray, held: np.ndarray, best: np.ndarray, ids: np.ndarray) -> None:
    """Every row's best as lists, best first: scores f32[U, n] and numbers i64[U, n]."""
    for row in range(len(best)):
        for place in range(in_order(keys[row], held[row], best.shape[1])):
            best[row, place], ids[row, place] = score_of(keys[row, place]), number_of(keys[row, place])


@njit(cache=True)
def best_places(offsets: np.ndarray, scores: np.ndarray, asked: np.ndarray, n: int) -> np.ndarray:
    """i64[U, n]: of each row offsets[u] … offsets[u + 1] of scores f32[N] the places of the n largest among those asked
    for, bool[N], falling, ties by place, what is not a number last; -1 where there are fewer."""
    best, keys = np.full((len(offsets) - 1, n), -1, np.int64), np.empty(len(scores), np.uint64)
    for row in range(len(best)):
        held = 0
        for place in range(offsets[row], offsets[row + 1]):
            keys[held] = key_of(scores[place] if scores[place] == scores[place] else -np.inf, place)
            held += asked[place]
        for place in range(in_order(keys, held, n) if n else 0):
            best[row, place] = number_of(keys[place])
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
    keys = np.empty(ROOM * ids.shape[1], np.uint64)
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
        held[video] = _strongest(total, touched[:count], norm, norm[video], shrink, keys, scores[video], ids[video])


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
    keys = np.empty(ROOM * ids.shape[1], np.uint64)
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
        held[first] = _strongest(total, touched[:count], same, np.float32(0), plays + shrink, keys, scores[first],
                                 ids[first])


@njit(cache=True)
def largest(weights: np.ndarray, ids: np.ndarray, scores: np.ndarray, held: np.ndarray) -> None:
    """The same for the n largest positive numbers of each row of f32[V, V], of which nothing is left."""
    every, same = np.arange(weights.shape[1]).astype(np.uint32), np.zeros(weights.shape[1], np.float32)
    keys = np.empty(ROOM * ids.shape[1], np.uint64)
    for row in range(len(weights)):
        held[row] = _strongest(weights[row], every, same, np.float32(0), np.float32(1), keys, scores[row], ids[row])


@njit(cache=True)
def _strongest(total: np.ndarray, touched: np.ndarray, norm: np.ndarray, factor: float, added: float, keys: np.ndarray,
               scores: np.ndarray, ids: np.ndarray) -> int:
    """Keep the best positive total / (factor · norm + added) of what is touched, in any order, and set all totals to 0
    again; returns how many."""
    held, border = 0, np.float32(0)
    for number in touched:
        score = total[number] / (factor * norm[number] + added)
        total[number] = 0
        if len(ids) and score > 0 and score >= border:
            if held == len(keys):
                border, held = choose(keys, held, len(ids)), len(ids)
            keys[held] = key_of(score, number)
            held += 1
    if held > len(ids):
        choose(keys, held, len(ids))
        held = len(ids)
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
    slot_of, found, code = np.full(videos, FREE, np.int32), np.empty(most, np.int64), np.empty(most, np.uint8)
    worth_of, rank_of = np.zeros((most, sources), np.float32), np.zeros((most, sources), np.int32)
    total, touched = np.zeros((len(near), videos), np.float32), np.empty((len(near), videos + 1), np.uint32)
    counts, keys = np.zeros(len(near), np.int64), np.empty(ROOM * most, np.uint64)
    written, short = 0, 0
    for user in range(users):
        used = 0
        mine = seen[1][seen[0][user]:seen[0][user + 1]]
        for video in mine:
            slot_of[video] = SEEN
        for n in range(len(listed)):
            rank = 0
            for place in range(listed[n][0].shape[1]):
                video = listed[n][0][user, place]
                if rank < listed_most[n] and video >= 0 and slot_of[video] != SEEN:
                    rank += 1
                    used = _found(slot_of, found, used, video)
                    slot = slot_of[video]
                    rank_of[slot, listed_codes[n]], worth_of[slot, listed_codes[n]] = rank, listed[n][1][user, place]
        for n in range(len(near)):
            counts[n], of = _reach(total[n], touched[n], user, plays[n], near[n]), near_codes[n]
            for place in range(_best_unseen(total[n], touched[n, :counts[n]], slot_of, keys, near_most[n])):
                video = number_of(keys[place])
                used = _found(slot_of, found, used, video)
                slot = slot_of[video]
                rank_of[slot, of], worth_of[slot, of] = place + 1, score_of(keys[place])
        for slot in range(used):
            code[slot] = _best_source(rank_of[slot], personal)
        for video in order[order_of[user]]:
            if used >= at_least:
                break
            if slot_of[video] == FREE:
                code[used] = order_codes[video]
                used = _found(slot_of, found, used, video)
        short += used < at_least
        for video in np.sort(found[:used]):
            slot = slot_of[video]
            user_of[written], video_of[written], source_of[written] = user, video, code[slot]
            for source in range(sources):
                scores[source, written], ranks[source, written] = worth_of[slot, source], rank_of[slot, source]
            for n in range(looked_up):
                scores[near_codes[n], written] = total[n, video]
            written += 1
        slot_of[mine], slot_of[found[:used]] = FREE, FREE
        rank_of[:used], worth_of[:used] = 0, 0
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
    neighbours are negative, so no total returns to 0, and each video is touched once. Whether one is new can't be
    foreseen, so each is written down and only counted if it is. Places are unsigned: numba asks of a signed one whether
    it counts from the end."""
    offsets, played, weights = plays
    rows, videos, strengths = near
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
def _best_unseen(total: np.ndarray, touched: np.ndarray, slot_of: np.ndarray, keys: np.ndarray, n: int) -> int:
    """The keys of the best n positive totals of what is touched and not seen, in order; returns how many."""
    if n == 0:  # keys are chosen of at least one
        return 0
    held, border = 0, np.float32(0)
    for video in touched:
        score = total[video]
        if score > 0 and score >= border and slot_of[video] != SEEN:
            if held == ROOM * n:
                border, held = choose(keys, held, n), n
            keys[held] = key_of(score, video)
            held += 1
    return in_order(keys, held, n)


@njit(cache=True)
def _best_source(ranks: np.ndarray, personal: int) -> int:
    """The personal source with the smallest rank, ties by code; else the first of the others."""
    best = len(ranks)
    for source in range(len(ranks)):
        if ranks[source] and (best == len(ranks) or (source < personal and ranks[source] < ranks[best])):
            best = source
    return best


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
def strongest(played: np.ndarray, video: np.ndarray, indptr: np.ndarray, indices: np.ndarray,
              data: np.ndarray) -> np.ndarray:
    """i64[n]: of played i64[n, m] (-1 for none) the first whose row has the largest positive entry for video i64[n], -1
    where none has one. The rows are those of a sparse f32[V, V], entries ascending."""
    found = np.full(len(video), -1, np.int64)
    for row in range(len(video)):
        most = np.float32(0)
        for play in played[row]:
            if play < 0:
                continue
            high = indptr[play + 1]
            place = bisected(indices, video[row], indptr[play], high)
            if place < high and indices[place] == video[row] and data[place] > most:
                found[row], most = play, data[place]
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
