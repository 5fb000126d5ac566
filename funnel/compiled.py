"""The loops over pairs of users and videos, compiled by numba; arithmetic as written, so results are the same everywhere.

All in one file, because numba compiles anew what a changed file holds, not what calls it from another one.

The best n of many are kept in a heap: `scores` and `ids` of length n, of which `held` are used, the worst at the root.
The order is pinned: larger scores first, ties by the smaller id.
"""

import numpy as np
from numba import njit

STRETCH = 128

@njit(cache=True, inline="always")
def before(score: float, number: int, other_score: float, other: int) -> bool:
    """Whether one comes before the other."""
    return score > other_score or (score == other_score and number < other)


@njit(cache=True)
def offer(scores: np.ndarray, ids: np.ndarray, held: int, score: float, number: int) -> int:
    """Keep (score, number) when it is among the best n; returns how many are held then."""
    if held < len(scores):
        child = held
        while child > 0 and before(scores[(child - 1) // 2], ids[(child - 1) // 2], score, number):
            scores[child], ids[child] = scores[(child - 1) // 2], ids[(child - 1) // 2]
            child = (child - 1) // 2
        scores[child], ids[child] = score, number
        return held + 1
    if held and before(score, number, scores[0], ids[0]):
        _sink(scores, ids, held, score, number)
    return held


@njit(cache=True)
def in_order(scores: np.ndarray, ids: np.ndarray, held: int) -> None:
    """Turn the heap into the list, best first."""
    for last in range(held - 1, 0, -1):
        score, number = scores[last], ids[last]
        scores[last], ids[last] = scores[0], ids[0]
        _sink(scores, ids, last, score, number)


@njit(cache=True)
def _sink(scores: np.ndarray, ids: np.ndarray, held: int, score: float, number: int) -> None:
    """Put (score, number) at the root's place, below whatever is worse."""
    place = 0
    while 2 * place + 1 < held:
        child = 2 * place + 1
        if child + 1 < held and before(scores[child], ids[child], scores[child + 1], ids[child + 1]):
            child += 1
        if not before(score, number, scores[child], ids[child]):
            break
        scores[place], ids[place] = scores[child], ids[child]
        place = child
    scores[place], ids[place] = score, number


@njit(cache=True)
def offer_columns(scores: np.ndarray, numbers: np.ndarray, best: np.ndarray, ids: np.ndarray, held: np.ndarray) -> None:
    """Offer scores f32[U, W] of numbers i64[W] to each row's best f32[U, n] and ids i64[U, n]. Whole stretches below a
    row's border are passed over."""
    for row in range(len(scores)):
        mine, my_ids, count = best[row], ids[row], held[row]
        for start in range(0, scores.shape[1], STRETCH):
            stretch = scores[row, start:start + STRETCH]
            if count < len(mine) or _any_reaches(stretch, mine[0]):
                for place in range(len(stretch)):
                    if count < len(mine) or stretch[place] >= mine[0]:
                        count = offer(mine, my_ids, count, stretch[place], numbers[start + place])
        held[row] = count


@njit(cache=True)
def _any_reaches(scores: np.ndarray, border: float) -> bool:
    """Without leaving early, so that the processor compares eight at a time."""
    reaches = False
    for place in range(len(scores)):
        reaches |= scores[place] >= border
    return reaches


@njit(cache=True)
def rows_in_order(best: np.ndarray, ids: np.ndarray, held: np.ndarray) -> None:
    """Every row's heap as a list, best first."""
    for row in range(len(best)):
        in_order(best[row], ids[row], held[row])


@njit(cache=True, nogil=True)
def co_watched(user_offsets: np.ndarray, user_videos: np.ndarray, video_offsets: np.ndarray, video_users: np.ndarray,
               shrink: float, ids: np.ndarray, scores: np.ndarray, held: np.ndarray) -> None:
    """Into ids i32[V, n], scores f32[V, n] and held i64[V]: the n videos that most share their users with each video.

    Of a score: users of both / (sqrt(users of one · users of the other) + shrink). user_videos: each user's distinct
    videos; video_users: each video's users.
    """
    videos = len(video_offsets) - 1
    norm = np.sqrt(np.diff(video_offsets)).astype(np.float32)
    total, touched = np.zeros(videos, np.float32), np.empty(videos, np.int32)
    for video in range(videos):
        count = 0
        for user in video_users[video_offsets[video]:video_offsets[video + 1]]:
            for other in user_videos[user_offsets[user]:user_offsets[user + 1]]:
                if total[other] == 0:
                    touched[count] = other
                    count += 1
                total[other] += np.float32(1)
        total[video] = 0
        for place in range(count):
            total[touched[place]] /= norm[video] * norm[touched[place]] + shrink
        held[video] = _strongest(total, touched, count, scores[video], ids[video])


@njit(cache=True, nogil=True)
def followed(row: np.ndarray, video: np.ndarray, video_offsets: np.ndarray, video_places: np.ndarray, within: int,
             shrink: float, ids: np.ndarray, scores: np.ndarray, held: np.ndarray) -> None:
    """The same for the n videos that come most often soon after each video in plays (row, video), i64[N] by user.

    Of a score: sum of 1 / distance over the video's plays, up to `within` plays later / (its plays + shrink).
    video_places: where each video is played, ascending.
    """
    videos = len(video_offsets) - 1
    total, touched = np.zeros(videos, np.float32), np.empty(videos, np.int32)
    for first in range(videos):
        count = 0
        for place in video_places[video_offsets[first]:video_offsets[first + 1]]:
            for later in range(place + 1, min(place + within + 1, len(row))):
                if row[later] != row[place]:
                    break
                then = video[later]
                if total[then] == 0:
                    touched[count] = then
                    count += 1
                total[then] += np.float32(1 / (later - place))
        plays = np.float32(video_offsets[first + 1] - video_offsets[first])
        total[first] = 0
        for place in range(count):
            total[touched[place]] /= plays + shrink
        held[first] = _strongest(total, touched, count, scores[first], ids[first])


@njit(cache=True)
def _strongest(total: np.ndarray, touched: np.ndarray, count: int, scores: np.ndarray, ids: np.ndarray) -> int:
    """Keep the best positive totals of the first `count` touched, and set all of them to 0 again."""
    held, border = 0, np.float32(0)
    for place in range(count):
        number = touched[place]
        score = total[number]
        total[number] = 0
        if score > 0 and score >= border:
            held = offer(scores, ids, held, score, number)
            if held and held == len(scores):
                border = scores[0]
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
    indptr, indices and data of its sparse f32[V, V]. *_codes and *_most: each source's code and how many it may bring;
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
    score_of, rank_of = np.zeros((most, sources), np.float32), np.zeros((most, sources), np.int32)
    total, touched = np.zeros((len(near), videos), np.float32), np.empty((len(near), videos + 1), np.int32)
    counts, best, best_ids = np.zeros(len(near), np.int64), np.empty(most, np.float32), np.empty(most, np.int64)
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
                    rank_of[slot, listed_codes[n]], score_of[slot, listed_codes[n]] = rank, listed[n][1][user, place]
        for n in range(len(near)):
            counts[n] = _reach(total[n], touched[n], user, plays[n], near[n])
            held = _best_unseen(total[n], touched[n, :counts[n]], slot_of, best[:near_most[n]], best_ids[:near_most[n]])
            in_order(best, best_ids, held)
            for place in range(held):
                used = _found(slot_of, found, used, best_ids[place])
                slot = slot_of[best_ids[place]]
                rank_of[slot, near_codes[n]], score_of[slot, near_codes[n]] = place + 1, best[place]
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
                scores[source, written], ranks[source, written] = score_of[slot, source], rank_of[slot, source]
            for n in range(looked_up):
                scores[near_codes[n], written] = total[n, video]
            written += 1
        slot_of[mine], slot_of[found[:used]] = FREE, FREE
        rank_of[:used], score_of[:used] = 0, 0
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
    foreseen, so each is written down and only counted if it is."""
    count = 0
    for place in range(plays[0][user], plays[0][user + 1]):
        weight = plays[2][place]
        for entry in range(near[0][plays[1][place]], near[0][plays[1][place] + 1]):
            gain = weight * near[2][entry]
            video = near[1][entry]
            touched[count] = video
            count += (total[video] == 0) & (gain != 0)
            total[video] += gain
    return count


@njit(cache=True)
def _best_unseen(total: np.ndarray, touched: np.ndarray, slot_of: np.ndarray, scores: np.ndarray,
                 ids: np.ndarray) -> int:
    """Keep the best positive totals of what is touched and not seen."""
    held, border = 0, np.float32(0)
    for video in touched:
        score = total[video]
        if score > 0 and score >= border and slot_of[video] != SEEN:
            held = offer(scores, ids, held, score, video)
            if held and held == len(scores):
                border = scores[0]
    return held


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
            low, high = (indptr[play], indptr[play + 1]) if play >= 0 else (0, 0)
            place = low + np.searchsorted(indices[low:high], video[row])
            if place < high and indices[place] == video[row] and data[place] > most:
                found[row], most = play, data[place]
    return found
