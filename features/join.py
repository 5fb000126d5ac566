"""The point-in-time join of labels and feature views, in Spark.

A label at t sees, of each view, the row of its key in the newest snapshot with `available_at = as_of + publish_lag`
strictly before t, the one that was live when the label happened. A key absent there has zeros, exactly as serving
would see; never a row of an older snapshot. Every label comes out exactly once.
"""

from datetime import date

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from features.frames import read_frame
from features.views import EXAMPLE_VIEWS, FEATURES, FeatureView, view
from lake import dates
from lake.snapshot import Manifest
from lake.tables import table

def _live_as_of(time: Column, publish_lag_us: int) -> Column:
    """The newest midnight whose snapshot was live strictly before `time`: as_of + lag < t."""
    number = F.floor((F.unix_micros(time) - F.lit(publish_lag_us + 1)) / F.lit(dates.DAY_US))
    return F.date_add(F.lit(date(1970, 1, 1)), number.cast("int"))


def join_examples(session: SparkSession, labels: Manifest, snapshots: list[Manifest]) -> DataFrame:
    """Labels with the features of every view in EXAMPLE_VIEWS; as many rows as labels, each key once.

    snapshots: the feature snapshots of every date that was live at a label.
    """
    features = _dated(session, snapshots)
    joined = read_frame(session, "labels", [labels])
    for name in EXAMPLE_VIEWS:
        joined = _join_view(joined, features.where(F.col("view") == name), view(name))
    return joined.select(*table("training_examples").schema.names)


def _dated(session: SparkSession, snapshots: list[Manifest]) -> DataFrame:
    features = read_frame(session, "feature_snapshots", snapshots)
    if not snapshots:
        return features.withColumn("_as_of", F.lit(None).cast("date"))
    path = F.regexp_extract("_metadata.file_path", r"/as_of=(\d{4}-\d{2}-\d{2})/", 1)
    return features.withColumn("_as_of", F.to_date(path))


def _join_view(labels: DataFrame, features: DataFrame, declared: FeatureView) -> DataFrame:
    prefixed = features.select(F.col("_as_of"), F.col("entity_id").alias("_entity"), F.col("attribute").alias("_attribute"),
                               *(F.col(name).alias(f"{declared.name}_{name}") for name in FEATURES))
    names = [f"{declared.name}_{name}" for name in FEATURES]
    live = _live_as_of(F.col("event_time"), declared.publish_lag_us)
    if declared.attribute:
        return _join_lists(labels, prefixed, declared, live, names)
    found = labels.withColumn("_live", live).join(
        prefixed, (F.col("_live") == F.col("_as_of")) & (F.col(declared.entity) == F.col("_entity")), "left")
    return _zeros(found.drop("_live", "_as_of", "_entity", "_attribute"), names)


def _join_lists(labels: DataFrame, prefixed: DataFrame, declared: FeatureView, live: Column,
                names: list[str]) -> DataFrame:
    """A list attribute (a video's categories): the sums over its values, each value looked up in the live snapshot."""
    key = list(table("labels").key)
    values = labels.select(*key, F.explode(F.array_distinct(declared.attribute)).alias("_value"), live.alias("_live"))
    if declared.entity not in key:
        raise ValueError(f"view {declared.name}: its entity {declared.entity} must be part of the label key {key}")
    found = values.join(prefixed, (F.col("_live") == F.col("_as_of")) & (F.col(declared.entity) == F.col("_entity"))
                        & (F.col("_value") == F.col("_attribute")))
    summed = found.groupBy(*key).agg(*(F.sum(name).alias(name) for name in names))
    return _zeros(labels.join(summed, key, "left"), names)


def _zeros(frame: DataFrame, names: list[str]) -> DataFrame:
    return frame.fillna(0, subset=names)
