"""docs/systems.md: every class, spec name and test that it lists exists, and none is missing."""

import re
from functools import reduce
from pathlib import Path

import pytest

import pccore
from transfer import VARIANTS
from transfer.spec.modes import MODES
from transfer.spec.sections import NetworkSpec, TuneSpec

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "systems.md").read_text()
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| .*`test_", line)]
NAMES_IN_SPECS = {
    *VARIANTS,
    *pccore.INFERENCE,
    *pccore.STARTS,
    *pccore.PENALTIES,
    *MODES,
    *NetworkSpec.model_fields,
    *TuneSpec.model_fields,
}


def cells(row):
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: cells(row)[0])
def test_names_in_a_row_exist(row):
    *_, things, proof = cells(row)
    outside, _, inside = things.partition("[")
    for name in re.findall(r"`([\w.]+)`", outside):
        assert callable(reduce(getattr, name.split("."), pccore)), name
    for name in re.findall(r"`(\w+)", inside):
        assert name in NAMES_IN_SPECS, name
    file, test = re.fullmatch(r"`(\w+\.py)::(\w+)`", proof).groups()
    assert re.search(rf"def {test}\(", (ROOT / "tests" / "pccore" / file).read_text()), proof


@pytest.mark.parametrize("registry", [pccore.INFERENCE, pccore.STARTS, pccore.PENALTIES, VARIANTS])
def test_every_registered_name_has_a_row(registry):
    listed = {name for row in ROWS for name in re.findall(r"`(\w+)`", row.partition("[")[2])}
    assert set(registry) <= listed


def test_page_has_rows():
    assert len(ROWS) > 35
