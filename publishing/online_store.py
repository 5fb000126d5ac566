"""Lists online, in Redis: a service looks a viewer up and gets one release, whole.

    nightreel:live                   the number of the release that is online
    nightreel:7:users:<0…63>         hashes: user id → list, in the hash crc32(user id) % 64
    nightreel:7:fallback             a hash: country → list, "" for everyone
    nightreel:7:release              what release 7 is, as JSON

Ids are the log's own, as text. A list is deflated JSON of four columns, in order of rank. A push writes a generation
beside the one that is read; the flip makes it live in one script, which first counts that all of it is there. Numbers
only rise, and every script compares them inside Redis, so whoever wakes late writes nothing. What never went live, and
what was replaced, expires.
"""

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from urllib.parse import quote

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from lake import numbered_log
from publishing import live
from publishing.online_lists import Generation, OnlineRow, entries, fallback_key, generation_of, unpacked, users_key
from publishing.release_file import Release

LIVE = "nightreel:live"
USERS_PER_BATCH = 512
UNFINISHED_S, REPLACED_S = 24 * 3600, 3600
ATTEMPTS, TIMEOUT_S = 3, 20
PUSHED, ALREADY_ONLINE, NEWER_ONLINE = "pushed", "already online", "newer online"
_URL = re.compile(r"(redis|rediss|unix)://([^@/?#\s]*@)?[^@\s]*")
_TABLES = ("recommendations", "fallback")
_NEWER, _TORN = 0, -1  # what the scripts answer; 1 is done

_BEGIN = """
local live, number = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])
if live > number then return 0 end
if live == number then
  redis.call('SET', KEYS[2], ARGV[2])
elseif redis.call('GET', KEYS[2]) ~= ARGV[2] then
  redis.call('UNLINK', unpack(KEYS, 2))
  redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
end
return 1
"""
_WRITE = """
local live = tonumber(redis.call('GET', KEYS[1]) or '0')
if live > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
if live < tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[2], ARGV[2]) end
return 1
"""
_FLIP = """
local before = redis.call('GET', KEYS[1]) or '0'
if tonumber(before) > tonumber(ARGV[1]) then return 0 end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return -1 end
for n = 3, #KEYS do
  if redis.call('HLEN', KEYS[n]) ~= tonumber(ARGV[n + 1]) then return -1 end
end
redis.call('SET', KEYS[1], ARGV[1])
for n = 2, #KEYS do
  redis.call('PERSIST', KEYS[n])
  if before ~= ARGV[1] then
    local old = string.gsub(KEYS[n], ':' .. ARGV[1] .. ':', ':' .. before .. ':', 1)
    redis.call('EXPIRE', old, ARGV[3])
  end
end
return 1
"""


class OnlineFailed(Exception):
    """Redis could not be reached, refused, or lost what it was given; trying again may heal it. No password in it."""


class OtherHome(Exception):
    """What is online is no release of this home."""


@dataclass(frozen=True)
class Pushed:
    """What a push did: `how` is one of pushed, already online, newer online; `online` is the number that is live."""

    how: str
    release: Release
    online: int


@dataclass(frozen=True)
class OnlineList:
    """A list of one release; `own` is False for a fallback."""

    release: int
    own: bool
    rows: tuple[OnlineRow, ...]


def read_list(user_id: int | str, country: str | None = None) -> OnlineList | None:
    """The list that is online for a user, as the log knows the user; the fallback of the country, or everyone's, where
    the user has none. None when nothing is online. OnlineFailed when Redis can't be asked."""
    user, field = str(user_id), country or ""
    with _connected() as client:
        for _ in range(2):  # a second look, should a generation expire between its number and its lists
            number = _number(client)
            asked = client.pipeline(transaction=False)
            asked.hget(users_key(number, user), user)
            asked.hmget(fallback_key(number), [field, ""])
            own, shared = asked.execute()
            found = own or shared[0] or shared[1]
            if found:
                return OnlineList(number, bool(own), unpacked(found))
    return None


def push(number: int | None = None) -> Pushed:
    """Put a release online, the live one when None, and make it the one that is read; nothing to do where it is.

    Raises OnlineFailed when Redis failed half-way (what was online still is), OtherHome when it serves another home,
    and what load_release raises.
    """
    loaded = live.load_release(number, _TABLES)
    generation = generation_of(loaded.release)
    with _connected() as client:
        if _stands(client, generation):
            return Pushed(ALREADY_ONLINE, loaded.release, generation.number)
        turned = _pushed(client, generation, loaded)
        online = _number(client)
    if turned == _TORN:
        raise OnlineFailed(f"Redis lost part of release {generation.number} while it was pushed (a restart, or no "
                           "memory left); what was online still is")
    if turned == _NEWER:
        _refuse_other_home(online)
        return Pushed(NEWER_ONLINE, loaded.release, online)
    return Pushed(PUSHED, loaded.release, online)


def forget(user_id: int | str) -> None:
    """Remove a user's list from every generation that is still there, as the log knows the user. OnlineFailed when
    Redis can't be asked."""
    user = str(user_id)
    with _connected() as client:
        for key in client.scan_iter(match=users_key(0, user).replace(":0:", ":*:")):
            client.hdel(key, user)


def _pushed(client: redis.Redis, generation: Generation, loaded: live.Loaded) -> int:
    keys = [LIVE, *generation.keys]
    if not client.eval(_BEGIN, len(keys), *keys, generation.number, generation.tag, UNFINISHED_S):
        return _NEWER
    counts: Counter[str] = Counter()
    lists = entries(loaded)
    while batch := list(islice(lists, USERS_PER_BATCH)):
        counts.update(key for key, _, _ in batch)
        if not all(_written(client, generation.number, batch)):
            return _NEWER
    return client.eval(_FLIP, len(keys), *keys, generation.number, generation.tag, REPLACED_S,
                       *(counts[key] for key in generation.keys[1:]))


def _written(client: redis.Redis, number: int, batch: list[tuple[str, str, bytes]]) -> list[int]:
    fields: dict[str, list[str | bytes]] = defaultdict(list)
    for key, field, packed in batch:
        fields[key] += [field, packed]
    calls = client.pipeline(transaction=False)
    for key, values in fields.items():
        calls.eval(_WRITE, 2, LIVE, key, number, UNFINISHED_S, *values)
    return calls.execute()


def _stands(client: redis.Redis, generation: Generation) -> bool:
    """Whether this release is online with all its lists. OtherHome when its number is, with another content."""
    if _number(client) != generation.number:
        return False
    asked = client.pipeline(transaction=False)
    asked.get(generation.keys[0])
    for key in generation.keys[1:]:
        asked.hlen(key)
    tag, *sizes, fallbacks = asked.execute()
    if tag not in (None, generation.tag):
        raise OtherHome(f"the release {generation.number} that is online is not release {generation.number} of this "
                        "home; give each NIGHTREEL_HOME a Redis database of its own (redis://host:6379/1)")
    return tag is not None and sum(sizes) == json.loads(tag)["users"] and fallbacks > 0


def _refuse_other_home(online: int) -> None:
    newest = numbered_log.numbers("releases")[-1]
    if online > newest:
        raise OtherHome(f"release {online} is online, and this home has {newest} at most: that Redis serves another "
                        "NIGHTREEL_HOME. Give each a database of its own (redis://host:6379/1), or empty this one "
                        "(redis-cli FLUSHDB) and push again")


def _number(client: redis.Redis) -> int:
    """The number that is online, 0 when none is."""
    told = client.get(LIVE) or b"0"
    if not told.isdigit():
        raise OtherHome(f"{LIVE} holds no number; something else writes to that Redis database")
    return int(told)


@contextmanager
def _connected() -> Iterator[redis.Redis]:
    """The Redis of REDIS_URL; whatever it raises becomes OnlineFailed without the URL's secrets."""
    url = os.environ.get("REDIS_URL", "")
    client = _client(url)
    try:
        yield client
    except redis.RedisError as error:
        settings = client.connection_pool.connection_kwargs
        raise OnlineFailed(f"Redis at {_place(settings)}: {_redacted(str(error), settings)}") from None


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    """A client of this URL, which connects when it is first asked. OnlineFailed when it is no URL of a Redis."""
    if _URL.fullmatch(url):
        try:
            client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=5,
                                          retry=Retry(ExponentialBackoff(cap=2, base=0.2), ATTEMPTS))
            client.connection_pool.make_connection()  # an unknown option shows here
            return client
        except (ValueError, TypeError, AttributeError, OSError, redis.RedisError):
            pass
    raise OnlineFailed("REDIS_URL does not name a Redis; write redis://host:6379/0, rediss://user:password@host:6379/0 "
                       "or unix:///path/to/socket, with %-codes for characters like @ / ? # in a password")


def _place(settings: dict) -> str:
    where = settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"
    return f"{where}, database {settings.get('db', 0)}"


def _redacted(text: str, settings: dict) -> str:
    """The first words of an error, without the password, plain or %-coded."""
    for secret in filter(None, (settings.get("password"), settings.get("ssl_password"))):
        text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return text[:300]
