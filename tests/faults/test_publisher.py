"""The publisher under fire, short: `make chaos` fires more often and longer."""

import pytest

from tests.faults import killing, publisher
from tests.faults.reader import readers


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return publisher.two_released_one_ready(tmp_path_factory.mktemp("lake") / "before")


@pytest.fixture
def folder(before, tmp_path):
    publisher.shutil.copytree(before, tmp_path / "before")
    return tmp_path


@pytest.mark.parametrize("name", publisher.ACTIONS)
def test_killed_at_any_change_of_the_disk_it_is_the_old_release_or_the_new_one(folder, name):
    with readers(folder) as told:
        fired = publisher.kills_at_doors(folder, name, every=4 if name == "dimensions" else 1)
    assert fired >= 4 and told["looks"] > 0


@pytest.mark.skipif(not killing.STRACE, reason="needs strace to kill at system calls: apt-get install -y strace")
def test_killed_at_a_system_call_it_is_the_old_release_or_the_new_one(folder):
    assert publisher.kills_at_calls(folder, "release", limit=2) >= 2


@pytest.mark.skipif(not killing.STRACE, reason="needs strace to fail system calls: apt-get install -y strace")
def test_a_full_disk_leaves_the_old_release_and_says_so(folder):
    assert publisher.errors_at_calls(folder, "release", "ENOSPC", limit=2) >= 2


def test_two_publishers_make_one_release(folder):
    assert publisher.two_publishers(folder / "before", 3) == 3


def test_a_zombie_that_wakes_after_its_retry_moves_nothing(folder):
    assert publisher.zombie(folder / "before") == 2


def test_a_rollback_that_races_a_publish(folder):
    assert publisher.rollback_races_a_publish(folder / "before") == 2


def test_a_reader_holds_a_release_through_many_publishes_and_a_clock_set_back(folder):
    publisher.many_publishes(folder / "before", 12)
