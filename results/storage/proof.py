"""Proof of rows of `runs`: their id is the hash of their settings, their result is possible."""

import json
from collections.abc import Collection, Mapping
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc

from results.identity import ID_LENGTH, hashed
from results.schema.column import Column
from results.schema.columns import RUNS
from results.vocabulary import RATES, OutcomeLabel

SETTINGS: Mapping[str, Column] = {
    column.name: column
    for column in RUNS
    if column.fixed and column.name not in ("run_id", "experiment", "variant")
}
"""The columns of `runs` that the id is the hash of.

A null in a column of the first schema is part of the id; in later ones it stands for the value that
all earlier runs had, which is not.
"""

NEEDED = ("run_id", *SETTINGS, "outcome", "final_train_loss", "test_accuracy")
"""The columns of `runs` that `contradictory` needs."""

OURS = f"^[0-9a-f]{{{ID_LENGTH}}}$"
"""The pattern of ids that mupc gives."""

CHUNK = 65_536  # rows whose settings are in memory as text at once, about 1 kB each


def contradictory(rows: pa.Table) -> pa.ChunkedArray:
    """Return a mask of the rows of `runs` that cannot be true.

    Their id is not the hash of their settings, or their result is one that no run has: trained with
    a loss that is missing, negative or not finite, or an accuracy outside of 0 to 1. Rows without
    the digest of a data set, or with an id that is none of ours, prove nothing and pass.

    Args:
        rows: with the columns of `NEEDED`, in any order.
    """
    masks = [_contradictory(rows.slice(at, CHUNK)) for at in range(0, rows.num_rows, CHUNK)]
    return pa.chunked_array(masks, pa.bool_())


def _contradictory(rows: pa.Table) -> pa.Array:
    rows = rows.combine_chunks()
    trained = pc.equal(rows["outcome"], OutcomeLabel.TRAINED.value)
    loss, accuracy = rows["final_train_loss"], rows["test_accuracy"]
    proper = pc.and_(pc.is_finite(loss), pc.greater_equal(loss, 0.0))
    share = pc.and_(pc.greater_equal(accuracy, 0.0), pc.less_equal(accuracy, 1.0))
    wrong = pc.or_(
        pc.and_(trained, pc.invert(pc.fill_null(proper, False))),
        pc.invert(pc.fill_null(share, True)),
    )
    claiming = pc.and_(
        pc.fill_null(pc.match_substring_regex(rows["run_id"], OURS), False),
        pc.is_valid(rows["dataset_digest"]),
    )
    return pc.and_(claiming, pc.or_(pc.fill_null(wrong, False), _misnamed(rows))).combine_chunks()


def _misnamed(rows: pa.Table) -> pa.Array:
    """Return a mask of the rows whose id is not the hash of their settings.

    A learning rate may have been a whole number when the id was made, and is a float in the file.
    """
    wrong = pa.array([True] * rows.num_rows)
    spellings = product(*(((), (rate,)) for rate in RATES))
    for whole in (sum(each, ()) for each in spellings):
        places = pc.indices_nonzero(wrong)
        if len(places):
            left = rows.take(places)
            same = pc.equal(ids(left, whole), left["run_id"])
            wrong = pc.replace_with_mask(wrong, wrong, pc.invert(same).combine_chunks())
    return wrong


def ids(rows: pa.Table, whole: Collection[str] = ()) -> pa.Array:
    """Return the run ids of the rows' settings; `whole` names floats that were whole numbers."""
    members = [_members(rows, name, name in whole) for name in sorted(SETTINGS)]
    begin = pa.repeat("{", rows.num_rows)
    texts = pc.binary_join_element_wise(begin, *members, "}", "").cast(pa.binary())
    # The first member begins with a comma, too.
    return pa.array([hashed(b"{" + text[2:]) for text in texts.to_pylist()], pa.string())


def _members(rows: pa.Table, name: str, whole: bool) -> pa.Array | pa.Scalar:
    """Return a column as members of JSON objects, each after a comma; empty if left out."""

    def member(value: object) -> str:
        if value is None and SETTINGS[name].since > 1:
            return ""
        if whole and isinstance(value, float) and value.is_integer():
            value = int(value)
        return f",{json.dumps(name)}:{json.dumps(value)}"

    values = rows[name].combine_chunks().dictionary_encode(null_encoding="encode")
    texts = pa.array([member(value) for value in values.dictionary.to_pylist()], pa.string())
    return texts[0] if len(texts) == 1 else texts.take(values.indices)
