"""Files of a join in flight: what is written apart comes back as it was, whatever fits into half the bytes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features import join_files

SCHEMA = pa.schema([("row", pa.int64()), ("number", pa.int64()), ("text", pa.string()), ("share", pa.float64())])


def rows(first: int, numbers: list[int | None]) -> pa.Table:
    count = len(numbers)
    return pa.table([range(first, first + count), numbers, ["ä"] * count, [0.1] * count], SCHEMA)


def test_numbers_of_any_size_and_nulls_come_back_from_files_that_hold_them_differently(tmp_path: Path) -> None:
    tables = [rows(0, [1, None, -2**31, 2**31 - 1]), rows(4, [2**31, 5, None]), rows(7, [-2**63, 2**63 - 1]),
              rows(9, [None, None]), rows(11, [])]
    paths = [str(tmp_path / f"{n}.arrow") for n in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        join_files.write_apart(path, table, table["row"].to_numpy() % 3, 4)
    found = join_files.gather(paths, [0, 1, 2, 3])
    assert all(one.schema == SCHEMA for one in found)
    assert [one["row"].to_pylist() for one in found] == [[row for row in range(11) if row % 3 == part] for part in range(4)]
    assert pa.concat_tables(found).sort_by("row") == pa.concat_tables(tables)


def test_pieces_that_ascend_are_cut_at_the_borders_and_follow_each_other(tmp_path: Path) -> None:
    pieces = [rows(0, list(range(10))).take(np.array(chosen, np.int64)) for chosen in ([0, 3, 4, 9], [], [1, 2, 7, 8])]
    path = str(tmp_path / "found.arrow")
    join_files.write_ascending(path, pieces, "row", [0, 4, 5, 10])
    assert [one["row"].to_pylist() for one in join_files.gather([path], [0, 1, 2])] == [[0, 3, 1, 2], [4], [9, 7, 8]]


@pytest.mark.parametrize("part", [-1, 2])
def test_a_part_that_is_not_there_is_refused(tmp_path: Path, part: int) -> None:
    with pytest.raises(IndexError, match="there are 2"):
        join_files.write_apart(str(tmp_path / "apart.arrow"), rows(0, [1, 2]), np.array([0, part]), 2)


def test_rows_of_one_part_are_put_in_place_whatever_their_files_hold_them_in(tmp_path: Path) -> None:
    tables = [pa.table({"row": [3, 0], "number": [7, 2**40]}), pa.table({"row": [1, 2], "number": [-1, 5]})]
    paths = [str(tmp_path / f"{n}.arrow") for n in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        join_files.write_apart(path, table, np.zeros(2, np.int64), 1)
    assert join_files.gather_into(paths, 0, "row", 4)["number"].tolist() == [2**40, -1, 5, 7]
    with pytest.raises(ValueError, match="4 came out"):
        join_files.gather_into(paths, 0, "row", 5)


def test_instants_near_another_one_come_back_from_their_distance_and_far_ones_too(tmp_path: Path) -> None:
    kind, near, far = pa.timestamp("us", "UTC"), [5, 2**31 + 6, None], [0, 2**32, 7]
    for arrived in (near, far, [0, 1, 2]):
        table = pa.table({"happened": pa.array([5, 7, -2**62], kind), "arrived": pa.array(arrived, kind)})
        path = str(tmp_path / "apart.arrow")
        held = join_files.packed(table, {"arrived": "happened"})
        join_files.write_apart(path, held, np.zeros(3, np.int64), 1)
        assert join_files.gather([path], [0])[0] == table
        assert join_files.unpacked_schema(held.schema) == table.schema
    held = join_files.packed(table.slice(0, 2), {"arrived": "happened"})
    assert held.schema.field("arrived").type == pa.int32() and join_files.needed_with(held.schema.field("arrived")) == "happened"
