"""The README's picture is the map of lake/tables.py."""

from jobs import picture
from jobs.layered_drawing import draw
from lake.tables import TABLES


def test_the_committed_picture_is_up_to_date():
    assert picture.PATH.read_text() == picture.svg(), "lake/tables.py changed; run: python -m jobs.picture"


def test_every_table_belongs_to_one_stage():
    staged = [name for _, names in picture.STAGES.values() for name in names]
    assert sorted(staged) == sorted(declared.name for declared in TABLES), "name new tables in jobs/picture.py's STAGES"


def test_every_edge_leads_down_and_no_boxes_overlap():
    rows, _ = picture.rows()
    assert all(rows[source] < rows[target] for source, target in picture.edges())
    widths = dict.fromkeys(rows, 100.0)
    x = draw(rows, picture.edges(), widths).x
    for one in rows:
        for other in rows:
            assert one == other or rows[one] != rows[other] or abs(x[one] - x[other]) >= 100
