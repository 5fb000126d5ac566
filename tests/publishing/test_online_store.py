"""Lists in a real Redis: a reader sees one release, whole, whatever dies, sleeps or comes late."""

import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from jobs import block as block_job
from jobs import push as push_job
from jobs import release as release_job
from jobs import rollback as rollback_job
from jobs.command import run
from publishing import online_store
from publishing.live import load_release
from publishing.online_lists import users_key
from publishing.online_store import ALREADY_ONLINE, NEWER_ONLINE, PUSHED, OnlineFailed, OtherHome, push, read_list
from publishing.release import publish
from publishing.rollback import block, rollback
from tests.publishing.conftest import USERS, D, K

ROOT = Path(__file__).resolve().parents[2]
SERVER = shutil.which("redis-server")
PASSWORD = "s3cret:/?#@%é"
CODED = "s3cret%3A%2F%3F%23%40%25%C3%A9"
pytestmark = pytest.mark.skipif(not SERVER, reason="needs a Redis to kill: apt-get install -y redis-server")


@dataclass
class Server:
    """A Redis of the test's own on loopback, which can be killed and started again on its folder."""

    folder: Path
    port: int
    settings: tuple[str, ...]
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
             *self.settings], stdout=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as door:
                if door.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError("redis-server did not start")

    def kill(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def client(self, **options: str) -> redis.Redis:
        return redis.Redis(port=self.port, **options)


@pytest.fixture
def server(tmp_path_factory, monkeypatch) -> Iterator[Callable[..., Server]]:
    """server(*settings): starts a Redis and makes it the one of REDIS_URL."""
    started = []

    def start(*settings: str) -> Server:
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            port = door.getsockname()[1]
        settings = settings or ("--appendonly", "yes", "--appendfsync", "always")
        one = Server(tmp_path_factory.mktemp("redis"), port, settings)
        started.append(one)
        one.start()
        monkeypatch.setenv("REDIS_URL", one.url)
        return one

    monkeypatch.setattr(online_store, "USERS_PER_BATCH", 1)
    monkeypatch.setattr(online_store, "ATTEMPTS", 1)
    online_store._client.cache_clear()
    yield start
    for one in started:
        one.kill()


@pytest.fixture
def two_nights(night) -> None:
    """Two published nights; the first still offers video 1, the second does not."""
    night(D[0])
    night(D[1], removed=frozenset({1}))
    publish(D[0], K)


def everything(number: int) -> dict[str, list[tuple]]:
    """What readers of a release must see online: every user's list and both fallbacks."""
    loaded = load_release(number)
    tables = {f"u{user}": loaded.recommendations(user) for user in range(USERS)}
    tables |= {country: loaded.fallback_for(country) for country in ("DE", "ZZ")}
    return {name: list(zip(*(rows[column].to_pylist() for column in
                             ("rank", "video_original_id", "score", "source", "reason")), strict=True))
            for name, rows in tables.items()}


def online() -> tuple[int, dict[str, list[tuple]]]:
    """What readers see online now, and the one number that all of it is of. 0 when there is nothing."""
    found = {f"u{user}": read_list(f"u{user}") for user in range(USERS)}
    found |= {country: read_list("nobody", country) for country in ("DE", "ZZ")}
    numbers = {each.release if each else 0 for each in found.values()}
    assert len(numbers) == 1, f"readers see {numbers} at once"
    assert all(each is None or each.own == name.startswith("u") for name, each in found.items())
    lists = {name: [(row.rank, row.video_original_id, row.score, row.source, row.reason) for row in each.rows]
             for name, each in found.items() if each}
    return numbers.pop(), lists


def rounded(lists: dict[str, list[tuple]]) -> dict[str, list[tuple]]:
    """Scores are float32: equal as such."""
    return {name: [(rank, video, f"{score:.7g}", *rest) for rank, video, score, *rest in rows]
            for name, rows in lists.items()}


def assert_online(number: int) -> None:
    there, lists = online()
    assert there == number
    assert rounded(lists) == (rounded(everything(number)) if number else {})


def test_a_user_is_forgotten_in_every_generation(server, two_nights):
    redis_server = server()
    push()
    publish(D[1], K)
    push()
    assert redis_server.client().hexists(users_key(1, "u1"), "u1"), "what was replaced is there for those who read it"
    online_store.forget("u1")
    assert not read_list("u1").own and read_list("u2").own
    assert not redis_server.client().hexists(users_key(1, "u1"), "u1")


def test_what_is_pushed_is_what_is_read(server, two_nights):
    redis_server = server()
    assert_online(0)
    assert (push().how, push().how) == (PUSHED, ALREADY_ONLINE)
    assert_online(1)
    publish(D[1], K)
    assert_online(1)
    assert (push().online, push(1).how) == (2, NEWER_ONLINE)
    assert_online(2)
    client = redis_server.client()
    assert all(client.ttl(key) == -1 for key in client.keys("nightreel:2:*"))
    assert all(0 < client.ttl(key) <= online_store.REPLACED_S for key in client.keys("nightreel:1:*"))


def test_tombstones_reach_readers_and_a_rollback_does_not_revive(server, two_nights, night):
    server()
    push()
    assert "v3" in {row[1] for rows in online()[1].values() for row in rows}
    block(3, "rights")
    push()
    assert "v3" not in {row[1] for rows in online()[1].values() for row in rows}
    night(D[1], removed=frozenset({1}))
    publish(D[1], K)
    push()
    assert rollback(to=1).number == 4
    push()
    shown = {row[1] for rows in online()[1].values() for row in rows}
    assert not {"v1", "v3"} & shown and "v2" in shown
    assert_online(4)


class Killed(BaseException):
    """The pusher ends here."""


@pytest.mark.parametrize("after", [False, True])
def test_a_pusher_killed_at_any_step_leaves_one_release_whole(server, two_nights, monkeypatch, after):
    redis_server = server()
    push()
    publish(D[1], K)
    evaluate, execute, get = redis.Redis.eval, redis.client.Pipeline.execute, redis.Redis.get
    steps, seen = [0], set()

    def dying(call: Callable) -> Callable:
        def step(*arguments: object, **options: object) -> object:
            steps[0] -= 1
            result = call(*arguments, **options) if steps[0] or after else None
            if not steps[0]:
                raise Killed
            return result
        return step

    for number in range(1, 30):
        with monkeypatch.context() as patch:
            steps[0] = number
            patch.setattr(redis.Redis, "get", dying(get))
            patch.setattr(redis.Redis, "eval", dying(evaluate))
            patch.setattr(redis.client.Pipeline, "get", get, raising=False)
            patch.setattr(redis.client.Pipeline, "eval", evaluate, raising=False)
            patch.setattr(redis.client.Pipeline, "execute", dying(execute))
            try:
                push()
                break
            except Killed:
                pass
        there = online()[0]
        seen.add(there)
        assert_online(there)
        unfinished = [] if there == 2 else redis_server.client().keys("nightreel:2:*")
        assert all(0 < redis_server.client().ttl(key) <= online_store.UNFINISHED_S for key in unfinished)
    assert_online(2)
    assert 1 in seen and number > 8


def test_a_pusher_that_is_killed_is_pushed_again(server, two_nights):
    server()
    push()
    publish(D[1], K)
    die = ("import os, signal; from publishing import online_store as o; o.USERS_PER_BATCH = 1; write = o._written\n"
           "def dying(client, number, batch):\n    done = write(client, number, batch)\n"
           "    if batch[0][1] == 'u2': os.kill(os.getpid(), signal.SIGKILL)\n    return done\n"
           "o._written = dying; o.push()")
    assert subprocess.run([sys.executable, "-c", die], cwd=ROOT, timeout=60).returncode == -signal.SIGKILL
    assert_online(1)
    assert push().how == PUSHED
    assert_online(2)


def at_user(monkeypatch: pytest.MonkeyPatch, user: str, act: Callable[[], object]) -> None:
    """Do something once, right after the list of that user was written."""
    write, asleep = online_store._written, [True]

    def written(client, number, batch):
        done = write(client, number, batch)
        if asleep and batch[0][1] == user:
            asleep.clear()
            act()
        return done

    monkeypatch.setattr(online_store, "_written", written)


def test_redis_killed_half_way_keeps_the_old_release(server, two_nights, monkeypatch):
    redis_server = server()
    push()
    publish(D[1], K)
    at_user(monkeypatch, "u2", redis_server.kill)
    with pytest.raises(OnlineFailed, match=f"127.0.0.1:{redis_server.port}"):
        push()
    assert load_release().release.number == 2
    redis_server.start()
    assert redis_server.client().keys("nightreel:2:users:*")
    assert_online(1)
    assert push().how == PUSHED
    assert_online(2)


def test_redis_that_forgets_everything_shows_nothing_until_the_next_push(server, two_nights, monkeypatch):
    redis_server = server("--appendonly", "no")
    push()
    publish(D[1], K)
    at_user(monkeypatch, "u2", redis_server.kill)
    with pytest.raises(OnlineFailed):
        push()
    redis_server.start()
    assert_online(0)
    push()
    assert_online(2)
    redis_server.kill(), redis_server.start()
    assert push().how == PUSHED
    assert_online(2)


def test_redis_that_restarts_empty_under_a_push_never_gets_half_a_release(server, two_nights, monkeypatch):
    redis_server = server("--appendonly", "no")
    at_user(monkeypatch, "u2", lambda: (redis_server.kill(), redis_server.start()))
    with pytest.raises(OnlineFailed, match="lost part of release 1"):
        push()
    assert_online(0)
    push()
    assert_online(1)


@pytest.mark.parametrize("lost", [users_key(1, "u2"), "nightreel:1:release"])
def test_what_is_lost_under_a_push_is_noticed_before_the_flip(server, two_nights, monkeypatch, lost):
    redis_server = server()
    at_user(monkeypatch, "u3", lambda: redis_server.client().delete(lost))
    with pytest.raises(OnlineFailed, match="lost part of release 1"):
        push()
    assert_online(0)


def test_a_lost_part_of_the_live_release_is_pushed_again(server, two_nights):
    redis_server = server()
    push()
    redis_server.client().delete("nightreel:1:fallback")
    assert (push().how, push().how) == (PUSHED, ALREADY_ONLINE)
    assert_online(1)


def test_redis_without_memory_left_keeps_the_old_release(server, two_nights, monkeypatch):
    redis_server = server()
    push()
    publish(D[1], K)
    at_user(monkeypatch, "u1", lambda: redis_server.client().config_set("maxmemory", "1mb"))
    with pytest.raises(OnlineFailed, match="OOM|maxmemory"):
        push()
    assert_online(1)


@pytest.mark.parametrize("user", ["u0", "u3", "DE"])
def test_a_pusher_that_wakes_late_moves_nothing_back(server, night, monkeypatch, user):
    redis_server = server()
    for day in D[:3]:
        night(day)
    publish(D[0], K)
    push()
    publish(D[1], K)

    def overtaken() -> None:
        publish(D[2], K)
        push()
        redis_server.client().delete(*redis_server.client().keys("nightreel:2:*"))

    at_user(monkeypatch, user, overtaken)
    late = push()
    assert (late.how, late.release.number, late.online) == (NEWER_ONLINE, 2, 3)
    assert_online(3)
    assert not redis_server.client().keys("nightreel:2:*")


@pytest.mark.parametrize("dies", [False, True])
def test_two_pushers_of_one_release_end_in_one_that_stays(server, two_nights, monkeypatch, dies):
    redis_server = server()

    def die() -> None:
        if dies:
            raise Killed

    at_user(monkeypatch, "u1", lambda: (push(), at_user(monkeypatch, "u2", die)))
    with pytest.raises(Killed) if dies else nullcontext():
        push()
    assert_online(1)
    assert all(redis_server.client().ttl(key) == -1 for key in redis_server.client().keys("*"))


def test_a_redis_of_another_home_is_refused(server, two_nights):
    redis_server = server()
    push()
    redis_server.client().set("nightreel:1:release", '{"users": 4}')
    with pytest.raises(OtherHome, match="database of its own"):
        push()
    redis_server.client().set("nightreel:live", 7)
    with pytest.raises(OtherHome, match="FLUSHDB"):
        push()
    redis_server.client().set("nightreel:live", "soon")
    with pytest.raises(OtherHome, match="no number"):
        push()


@pytest.fixture
def call(monkeypatch, capfd) -> Callable[..., tuple[int, str]]:
    """Run a command: its exit code and all it printed."""
    def called(job: object, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [job.__name__, *arguments])
        try:
            code = run(job.main)
        except SystemExit as left:
            print(left.code, file=sys.stderr)
            code = 1 if isinstance(left.code, str) else left.code
        captured = capfd.readouterr()
        return code, captured.out + captured.err
    return called


def test_commands_push_and_a_retry_heals(server, night, call):
    redis_server = server()
    for day in D[:2]:
        night(day)
    redis_server.kill()
    code, said = call(release_job, "--as-of", str(D[1]), "--k", str(K))
    assert code == 1 and "release 1 is live" in said and "not pushed" in said and "jobs.push" in said
    redis_server.start()
    code, said = call(release_job, "--as-of", str(D[1]), "--k", str(K))
    assert code == 0 and "was live already" in said and "release 1 is online; 20 rows for 4 users" in said
    redis_server.kill()
    assert call(release_job, "--as-of", str(D[0]), "--k", str(K))[0] == 0, "a night that is kept is not pushed"
    assert call(block_job, "--video", "v2", "--reason", "rights")[0] == 1
    redis_server.start()
    assert call(push_job)[0] == 0
    assert_online(2)
    code, said = call(rollback_job, "--to-kept", "1")
    assert code == 0 and "release 3 is online" in said
    assert call(push_job, "--release", "2") == (0, f"push {D[1]}: release 3 is online, which is newer than 2; "
                                                "nothing changed, 0.0 s\n")
    assert call(push_job, "--release", "9")[0] == 3


def test_without_a_redis_there_is_nothing_to_push_to(night, call):
    night(D[0])
    assert call(release_job, "--as-of", str(D[0]), "--k", str(K))[0] == 0
    code, said = call(push_job)
    assert code == 2 and "REDIS_URL is not set" in said


def test_a_password_reaches_no_message(server, two_nights, monkeypatch, call):
    redis_server = server("--requirepass", PASSWORD)
    where = f"127.0.0.1:{redis_server.port}"
    monkeypatch.setenv("REDIS_URL", f"redis://:{CODED}@{where}/0")
    assert call(push_job)[0] == 0
    wrong = secrets.token_hex(8)
    urls = [f"redis://:{wrong}@{where}/0", f"redis://{wrong}:{wrong}@{where}/0", f"redis://:{wrong}@127.0.0.1:1/0",
            f"redis://:{wrong}/x@{where}/0", f"redis://:12/{wrong}@{where}/0", f"redis://:{wrong}@x:{wrong}/0",
            f"redis://:{wrong}@{wrong}@{where}/0", f"http://:{wrong}@{where}", f"redis://:{wrong}@{where}/0?{wrong}=1",
            f"redis://:{wrong}#@{where}/0", f"redis://{where}/0?password={wrong}", f"{wrong}", f"redis://[{wrong}@x",
            f"redis://:{wrong}@{where}/0?socket_timeout={wrong}", f"redis://:{wrong}@127.0.0.1:1/0?db={wrong}"]
    for url in urls:
        monkeypatch.setenv("REDIS_URL", url)
        with pytest.raises(OnlineFailed) as failed:
            read_list("u1")
        told = "".join(traceback.format_exception(failed.value))
        code, said = call(push_job)
        assert code == 1 and wrong not in told + said, url
    assert load_release().release.number == 1


def test_a_password_in_an_answer_is_redacted():
    settings = {"password": PASSWORD, "host": "h", "port": 1, "db": 2}
    assert online_store._redacted(f"bad {PASSWORD} and {CODED}", settings) == "bad *** and ***"
    assert online_store._place(settings) == "h:1, database 2"
