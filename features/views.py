"""Feature views: what is aggregated, by which key. Declarations only; nothing here runs.

Every view has the measures and windows of `lake.tables` and is joined as a `snapshot`: a label sees the row that was
live when it happened. A key without a row means zeros.
"""

from dataclasses import dataclass

from lake.tables import EXAMPLE_VIEWS, FEATURES, MEASURES, WINDOWS_DAYS


@dataclass(frozen=True)
class FeatureView:
    """`entity`: the event column that is the key's id. `attribute`: a second key column, or empty.

    A list attribute (categories) means one key per value, and a label sees the sum over its values.
    `publish_lag_us`: planned time from as_of until the table is live.
    """

    name: str
    entity: str
    attribute: str
    doc: str
    publish_lag_us: int = 6 * 3_600_000_000


VIEWS = (
    FeatureView("user", "user_id", "", "what a user did"),
    FeatureView("video", "video_id", "", "what happened to a video"),
    FeatureView("creator", "creator_id", "", "what happened to a creator's videos"),
    FeatureView("user_category", "user_id", "categories", "what a user did in a category"),
    FeatureView("country_video", "video_id", "country", "what happened to a video in a country"),
)

__all__ = ["EXAMPLE_VIEWS", "FEATURES", "FeatureView", "MEASURES", "VIEWS", "WINDOWS_DAYS", "view"]


def view(name: str) -> FeatureView:
    """The view of a name. KeyError names the known ones."""
    for declared in VIEWS:
        if declared.name == name:
            return declared
    raise KeyError(f"no feature view {name!r} in features/views.py; known: {', '.join(v.name for v in VIEWS)}")
