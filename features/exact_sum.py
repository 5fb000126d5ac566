"""Sums that do not depend on the order of their terms: integers as they are, floats as whole numbers of tiny units.

A float is an integer times a power of two, so a column of floats is a few columns of 32-bit digits ("limbs") at fixed
places, and sums of digits are exact. What comes out is the exact sum, rounded once, as `math.fsum` does.
"""

from collections.abc import Callable

import numpy as np

_BASE = 1126  # digit 0 of limb 0 is worth 2^-1126: below the last bit of the least float's 53-bit mantissa
_LOW = np.int64(0xFFFFFFFF)
Summed = Callable[[np.ndarray], np.ndarray]  # int64 terms → int64[count]: sums of some of them, exact modulo 2^64


def spread(first: np.ndarray, end: np.ndarray, values: np.ndarray | None, count: int) -> np.ndarray:
    """int64[count]: for each position the sum of the values (1 each when None) whose range [first, end) holds it."""
    if values is None:
        change = np.bincount(first, minlength=count + 1) - np.bincount(end, minlength=count + 1)
    else:
        change = np.zeros(count + 1, np.int64)
        np.add.at(change, first, values)
        np.subtract.at(change, end, values)
    return np.cumsum(change)[:count]


def integer_sum(values: np.ndarray, most: int, summed: Summed) -> np.ndarray:
    """int64[count]: the sums of int64 values, none of which is more than `most` from 0. OverflowError where the true sum is
    no int64; never a float, never wrapped."""
    if most * len(values) >= 2**62:
        high, low = summed(values >> 32), summed(values & _LOW)
        top = high + (low >> 32)
        if ((top < -2**31) | (top >= 2**31)).any():
            raise OverflowError("a sum is larger than a 64-bit integer; cast the column to float64")
    return summed(values)


def float_sum(values: np.ndarray, summed: Summed) -> np.ndarray:
    """float64[count]: the sums, exact and rounded once. NaN among the terms gives NaN, infinities as in IEEE 754."""
    finite = np.isfinite(values)
    found = _rounded(_limb_sums(np.where(finite, values, 0.0), summed))
    if not finite.all():
        special = [summed(where.astype(np.int64)) for where in (np.isnan(values), values == np.inf, values == -np.inf)]
        found = np.where(special[1] > 0, np.inf, np.where(special[2] > 0, -np.inf, found))
        found[(special[0] > 0) | (special[1] > 0) & (special[2] > 0)] = np.nan
    return found


def _limb_sums(values: np.ndarray, summed: Summed) -> dict[int, np.ndarray]:
    """Limb number → int64[count]. Limb n counts units of 2^(32 n - _BASE)."""
    mantissa, exponent = np.frexp(values)
    whole = np.abs(np.ldexp(mantissa, 53)).astype(np.uint64)
    place = exponent.astype(np.int64) - 53 + _BASE
    limb, shift = place // 32, (place % 32).astype(np.uint64)
    low = np.uint64(_LOW)
    digits = (whole << shift & low, whole >> (np.uint64(32) - shift) & low,
              whole >> np.uint64(32) >> (np.uint64(32) - shift))
    sign = np.where(values < 0, -1, 1)
    sums: dict[int, np.ndarray] = {}
    for number in sorted({0, *(int(n) + up for n in np.unique(limb[whole > 0]) for up in range(3))}):
        terms = sum(np.where(limb + up == number, digit.view(np.int64), 0) for up, digit in enumerate(digits)) * sign
        sums[number] = summed(terms)
    return sums


def _rounded(sums: dict[int, np.ndarray]) -> np.ndarray:
    """float64[count]: the nearest float to each number, ties to even."""
    count = len(next(iter(sums.values())))
    lowest = min(sums) - 2  # two empty limbs below, so that the highest always has two more
    digits = np.stack([sums.get(n, np.zeros(count, np.int64)) for n in range(lowest, max(sums) + 3)])
    negative = _carried(digits)[-1] < 0
    digits = _carried(np.where(negative, -digits, digits))
    top = len(digits) - 1 - np.argmax(digits[::-1] > 0, axis=0)
    top = np.where(digits.any(axis=0), top, 2)
    high, middle, low = (np.take_along_axis(digits, (top - down)[None], 0)[0].astype(np.uint64) for down in range(3))
    bits = np.frexp(high.astype(np.float64))[1].astype(np.uint64)  # 1 … 32 bits in the highest limb; 64 are kept
    kept = np.where(high > 0, high << (np.uint64(64) - bits) % np.uint64(64), 0)
    kept = kept | middle << (np.uint64(32) - bits) | low >> bits
    nonzero_below = np.cumsum(digits > 0, axis=0)
    rest = (low & ((np.uint64(1) << bits) - np.uint64(1)) > 0) \
        | (np.take_along_axis(nonzero_below, np.maximum(top - 3, 0)[None], axis=0)[0] > 0) & (top >= 3)
    place = bits.astype(np.int64) + 32 * (top - 2 + lowest) - _BASE
    found = np.ldexp((kept | rest.astype(np.uint64)).astype(np.float64), place)
    return np.where(negative, -found, found)


def _carried(digits: np.ndarray) -> np.ndarray:
    """The same numbers with every limb but the last in [0, 2^32)."""
    found, carry = np.empty_like(digits), np.zeros(digits.shape[1], np.int64)
    for n in range(len(digits) - 1):
        total = digits[n] + carry
        found[n], carry = total & _LOW, total >> 32
    found[-1] = digits[-1] + carry
    return found
