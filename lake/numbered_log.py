"""Append-only logs of numbered JSON entries: landings, promotions, tombstones and releases.

An entry is `log/<name>/000123.json`, made by `create_if_absent`. Two writers can't take one number, an entry is never
changed (but to erase a user), and there is no pointer that could be torn or moved back.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache

from lake import storage
from lake.hashing import canonical_json

_ENTRY = re.compile(r"(\d{6,})\.json")


def folder(name: str) -> str:
    return storage.join("releases") if name == "releases" else storage.join("log", name)


def numbers(name: str) -> list[int]:
    """The numbers of all entries, ascending."""
    found = (_ENTRY.fullmatch(file) for file in storage.names(folder(name)))
    return sorted(int(match[1]) for match in found if match)


def read(name: str, number: int) -> dict:
    """One entry. ValueError when the file isn't a JSON object, naming it."""
    return _read(folder(name), number)


def _read(where: str, number: int) -> dict:
    path = f"{where}/{number:06d}.json"
    return {**_parse(path, storage.stamp(path)), "number": number}


@lru_cache(maxsize=10_000)
def _parse(path: str, stamp: tuple[int, int] | None) -> dict:
    """Entries never change, so a process parses each once; the stamp notices a damaged one."""
    try:
        entry = json.loads(storage.read_bytes(path))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}; it was damaged after it was written") from error
    if not isinstance(entry, dict):
        raise ValueError(f"{path} holds no JSON object; it was damaged after it was written")
    return entry


def entries(name: str) -> list[dict]:
    """All entries in order."""
    where = folder(name)
    return [_read(where, number) for number in numbers(name)]


def append(name: str, make: Callable[[list[int]], dict | None]) -> dict | None:
    """Add the entry that `make(existing numbers)` returns; None from `make` adds nothing.

    When another writer took the number first, `make` is asked again with what exists then, so every rule that `make`
    checks holds for the entry that is finally written.
    """
    while True:
        existing = numbers(name)
        entry = make(existing)
        if entry is None:
            return None
        number = (existing[-1] if existing else 0) + 1
        if storage.create_if_absent(_path(name, number), canonical_json(entry)):
            return {**entry, "number": number}


def rewrite(name: str, entry: dict) -> None:
    """Put another entry in the place of the one with its number, in one step. Only for erasing a user."""
    number = entry["number"]
    content = {key: value for key, value in entry.items() if key != "number"}
    storage.replace(_path(name, number), canonical_json(content))


def _path(name: str, number: int) -> str:
    return f"{folder(name)}/{number:06d}.json"
