"""The YAML of specs: scalars of the 1.2 core schema, and nothing dangerous or ambiguous."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.spec.errors import SpecError
from transfer.spec.yaml import DEEPEST, MOST_BYTES, parse_yaml, read_yaml, write_yaml

# Values by the YAML 1.2 specification, section 10.3.2; those marked differ from PyYAML's.
SCALARS: list[tuple[str, Any]] = [
    ("1e-3", 0.001),  # PyYAML: a string
    ("1e3", 1000.0),  # PyYAML: a string
    ("5E+2", 500.0),
    ("-2.5e-1", -0.25),
    (".5", 0.5),
    ("3.", 3.0),
    ("12", 12),
    ("-7", -7),
    ("010", 10),  # PyYAML: 8
    ("no", "no"),  # PyYAML: False
    ("on", "on"),  # PyYAML: True
    ("1:30", "1:30"),  # PyYAML: 90
    ("2020-01-01", "2020-01-01"),  # PyYAML: a date
    ("1_000", "1_000"),  # PyYAML: 1000
    ("true", True),
    ("False", False),
    ("~", None),
    ("", None),
    ("'1e-3'", "1e-3"),
    ('"12"', "12"),
    (".inf", math.inf),
    ("-.INF", -math.inf),
    ("relu", "relu"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[text or "empty" for text, _ in SCALARS])
def test_reads_scalars_by_yaml_1_2(text: str, value: Any) -> None:
    read = parse_yaml(f"key: {text}").value["key"]
    assert read == value
    assert type(read) is type(value)


PROBLEMS = [
    ("a: 1\nb: 2\na: 3", "line 3", "'a' is given twice"),
    ("a: &x [1]\nb: 2", "line 1", "anchors and aliases"),
    ("a: 1\nb: *x", "line 2", "anchors and aliases"),
    ("a: !!python/object:os.system {}", "line 1", "tags"),
    ("a: !thing 1", "line 1", "'!thing'"),
    ("a: [1", "line 1", "not valid YAML"),
    ("a: b: c", "line 1", "not valid YAML"),
    ("a:\tb", "line 1", "not valid YAML"),
    ("a: \x00", "the character", "not valid YAML"),
    ("1: 2", "line 1", "a key must be a name, got 1"),
    ("[a]: 2", "line 1", "a key must be a name, got []"),
    ("a: 1\n---\na: 2", "line 2", "only one YAML document"),
    ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "line 1", "20 levels"),
    ("[" * 100_000, "line 1", "20 levels"),
    ("a: " + "x" * MOST_BYTES, "1,000,000 bytes", "at most"),
]


@pytest.mark.parametrize(("text", "place", "cause"), PROBLEMS, ids=[p[2] for p in PROBLEMS])
def test_problem_is_one_sentence_with_its_line(text: str, place: str, cause: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text)
    assert cause in str(caught.value)
    assert place in str(caught.value) or place == "the character"
    assert "\n" not in str(caught.value)


def test_rejects_an_alias_bomb() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    with pytest.raises(SpecError, match="aliases"):
        parse_yaml("\n".join(lines))


text = st.text(st.characters(categories=("L", "N", "P")), max_size=6) | st.sampled_from(
    ["1e3", "010", "~", "null", "no", ".5", ".inf", "1e-3", "true", " x ", "a: b", "#"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_yaml_round_trips(value: Any) -> None:
    assert parse_yaml(write_yaml(value)).value == value


def test_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    for content, cause in (
        (b"a: [", "not valid YAML"),
        (b"a: \xff", "not text in UTF-8"),
        ("a: ü\n".encode() * 250_000, "at most 1,000,000 bytes"),
    ):
        path.write_bytes(content)
        with pytest.raises(SpecError, match=cause) as caught:
            read_yaml(path)
        assert str(path) in str(caught.value)
    for missing in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SpecError, match=r"^cannot read ") as caught:
            read_yaml(missing)
        assert str(missing) in str(caught.value)
