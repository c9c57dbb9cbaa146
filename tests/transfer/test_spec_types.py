"""Specs from Python: numbers and containers of other libraries stand for the plain values."""

from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from transfer_fakes import spec

from transfer import Experiment, SpecError
from transfer.space import Grid


class Container(Mapping[str, Any]):
    """A mapping like OmegaConf's DictConfig: no dict, its nested values wrapped on access."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if value == "???":
            raise ValueError(f"Missing mandatory value: {key}")
        return _wrapped(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Listing(Sequence[Any]):
    """A sequence like OmegaConf's ListConfig."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values

    def __getitem__(self, place: Any) -> Any:
        return _wrapped(self._values[place])

    def __len__(self) -> int:
        return len(self._values)


def _wrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return Container(value)
    return Listing(value) if isinstance(value, list) else value


RATES = [0.001, 0.01, 0.1]

# section, key, value from Python, plain value
SAME: list[tuple[str, str, object, object]] = [
    ("tune", "weight_lr", [np.float64(0.1), np.float64(0.02)], [0.1, 0.02]),
    ("tune", "weight_lr", [np.float32(0.1), np.float32(0.02)], [0.1, 0.02]),
    ("tune", "weight_lr", [np.float16(0.1)], [0.1]),
    ("tune", "weight_lr", [np.longdouble("0.1")], [0.1]),
    ("tune", "weight_lr", np.array(RATES), RATES),
    ("tune", "weight_lr", np.array(RATES, np.float32), RATES),
    ("tune", "weight_lr", np.logspace(-3, -1, 3), np.logspace(-3, -1, 3).tolist()),
    ("tune", "weight_lr", [np.array(0.1), np.int64(1)], [0.1, 1]),
    ("tune", "weight_lr", [1, 2], [1.0, 2.0]),
    ("tune", "weight_lr", tuple(RATES), RATES),
    ("tune", "weight_lr", deque(RATES), RATES),
    ("tune", "weight_lr", UserList(RATES), RATES),
    ("tune", "weight_lr", pd.Series(RATES), RATES),
    ("tune", "weight_lr", pd.Series(RATES, dtype="float32"), RATES),
    ("tune", "weight_lr", pd.Series(RATES, dtype="Float64"), RATES),
    ("tune", "weight_lr", pd.Series(RATES, index=list("abc")), RATES),
    ("tune", "weight_lr", pd.Index(RATES), RATES),
    ("tune", "weight_lr", pd.array(RATES), RATES),
    ("tune", "weight_lr", jax.numpy.array(RATES), RATES),
    ("tune", "weight_lr", [jax.numpy.float32(0.1)], [0.1]),
    ("tune", "weight_lr", [Decimal("0.1"), Fraction(1, 4)], [0.1, 0.25]),
    ("tune", "weight_lr", Grid((np.float32(0.1),)), [0.1]),
    ("transfer", "tolerance", np.float32(0.1), 0.1),
    ("tune", "width", np.int64(8), 8),
    ("tune", "width", np.array(8), 8),
    ("tune", "width", pd.Series([8]).iloc[0], 8),
    ("tune", "seeds", np.uint8(3), 3),
    ("tune", "seeds", range(3), 3),
    ("tune", "seeds", range(5, 8), [5, 6, 7]),
    ("tune", "seeds", np.arange(2), 2),
    ("tune", "seeds", pd.RangeIndex(2), 2),
    ("tune", "skip_unstable", np.bool_(True), True),
    ("training", "steps", np.int32(10), 10),
    ("training", "inference", {"scheme": np.str_("gradient_descent"), "steps": np.int64(4)}, None),
    ("transfer", "depths", np.arange(4, 9, 4), [4, 8]),
    ("transfer", "depths", range(4, 9, 4), [4, 8]),
    ("transfer", "depths", pd.Series([4, 8]), [4, 8]),
    ("transfer", "targets", ({"width": np.int64(8), "depth": 4},), [{"width": 8, "depth": 4}]),
    ("network", "bias", np.array(True), True),
    ("network", "activation", np.array(["relu", "tanh"]), ["relu", "tanh"]),
    ("network", "activation", np.str_("tanh"), "tanh"),
]


def with_value(section: str, key: str, value: object) -> dict[str, Any]:
    others = {"depths": None} if key == "targets" else {}
    return spec(**{section: {key: value, **others}})


@pytest.mark.parametrize(("section", "key", "value", "plain"), SAME)
def test_value_is_what_it_stands_for(section: str, key: str, value: object, plain: object) -> None:
    plain = plain or {"scheme": "gradient_descent", "steps": 4}
    found = Experiment.from_dict(with_value(section, key, value))
    expected = Experiment.from_dict(with_value(section, key, plain))
    assert found == expected
    assert found.to_yaml() == expected.to_yaml()  # which writes Python's own types only
    assert hash(found) == hash(expected)


WHOLE = spec(tune={"weight_lr": RATES}, network={"activation": ["relu", "tanh"]})


@pytest.mark.parametrize(
    "make", [dict, OrderedDict, ChainMap, UserDict, MappingProxyType, Container], ids=str
)
def test_any_mapping_is_a_spec(make: Any) -> None:
    expected = Experiment.from_dict(WHOLE)
    assert Experiment.from_dict(make(WHOLE)) == expected
    assert Experiment.from_dict({**WHOLE, "tune": make(WHOLE["tune"])}) == expected


def test_omegaconf_is_a_spec() -> None:
    conf = pytest.importorskip("omegaconf").OmegaConf
    interpolated = {**WHOLE, "transfer": {"depths": ["${tune.width}"]}}
    expected = {**WHOLE, "transfer": {"depths": [WHOLE["tune"]["width"]]}}
    assert Experiment.from_dict(conf.create(interpolated)) == Experiment.from_dict(expected)


REFUSED: list[tuple[str, str, object, tuple[str, ...]]] = [
    ("tune", "weight_lr", [True], ("tune.weight_lr[0]", "number", "got True")),
    ("tune", "weight_lr", [np.bool_(True)], ("tune.weight_lr[0]", "number", "got True")),
    ("tune", "weight_lr", np.array([True]), ("tune.weight_lr[0]", "number", "got True")),
    ("tune", "weight_lr", ["0.1"], ("tune.weight_lr[0]", "number", "got '0.1'")),
    ("tune", "weight_lr", np.array(["0.1"]), ("tune.weight_lr[0]", "number", "got '0.1'")),
    ("tune", "weight_lr", {0.1}, ("tune.weight_lr must be a list", "got {0.1}")),
    ("tune", "weight_lr", frozenset([0.1]), ("tune.weight_lr must be a list", "frozenset")),
    ("tune", "weight_lr", {0.1: 1}.keys(), ("tune.weight_lr must be a list", "dict_keys")),
    ("tune", "weight_lr", (x for x in RATES), ("tune.weight_lr must be a list", "generator")),
    ("tune", "weight_lr", "0.1", ("tune.weight_lr must be a list", "'0.1'")),
    ("tune", "weight_lr", b"\x01", ("tune.weight_lr must be a list", "b'")),
    ("tune", "weight_lr", np.array(0.1), ("tune.weight_lr must be a list", "got 0.1")),
    ("tune", "weight_lr", np.array([[0.1]]), ("tune.weight_lr[0]", "number", "got [0.1]")),
    ("tune", "weight_lr", np.array([]), ("tune.weight_lr", "1 to 1,000 entries", "0")),
    ("tune", "weight_lr", np.array([np.nan]), ("tune.weight_lr[0]", "number", "got nan")),
    ("tune", "weight_lr", np.array([0.1, 0.1]), ("tune.weight_lr[1]", "twice", "0.1")),
    ("tune", "weight_lr", [np.float32(0.1), 0.1], ("tune.weight_lr[1]", "twice", "0.1")),
    ("tune", "weight_lr", pd.Series([0.1, None]), ("tune.weight_lr[1]", "number", "got nan")),
    ("tune", "weight_lr", [1j], ("tune.weight_lr[0]", "number", "got 1j")),
    ("tune", "width", np.float64(8), ("tune.width", "integer", "got 8.0")),
    ("tune", "width", np.bool_(True), ("tune.width", "integer", "got True")),
    ("tune", "width", [8], ("tune.width", "integer", "got [8]")),
    ("tune", "seeds", range(0), ("tune.seeds", "1 to 1,000 entries", "0")),
    ("tune", "seeds", range(1001), ("tune.seeds", "1 to 1,000 entries", "1,001")),
    ("tune", "seeds", range(10**12), ("tune.seeds must have at most 100,000 entries", "range(")),
    ("network", "bias", np.int64(1), ("network.bias", "true or false", "got 1")),
    ("network", "bias", 1, ("network.bias", "true or false", "got 1")),
    ("transfer", "depths", [4.0], ("transfer.depths[0]", "integer", "got 4.0")),
    ("transfer", "depths", {4, 8}, ("transfer.depths must be a list", "{8, 4}")),
    ("tune", "width", Container({"a": "???"}), ("tune.width cannot be read", "Missing mandatory")),
]


@pytest.mark.parametrize(("section", "key", "value", "named"), REFUSED)
def test_other_values_are_refused(
    section: str, key: str, value: object, named: tuple[str, ...]
) -> None:
    with pytest.raises(SpecError) as caught:
        Experiment.from_dict(with_value(section, key, value))
    (sentence,) = caught.value.sentences
    for fragment in named:
        assert fragment in sentence


def test_a_list_in_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(SpecError, match="at most 20 levels"):
        Experiment.from_dict(with_value("tune", "weight_lr", endless))
