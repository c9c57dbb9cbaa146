"""What SECURITY.md promises, and the attacks that the docs list, name tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/security-tests.md"])
def test_tests_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"(?:`|::)(test_\w+)`", text))
    assert named
    assert named <= TESTS
    assert all((ROOT / path).is_file() for path in re.findall(r"`(tests/[\w/]+\.py)", text))


def test_every_promise_names_its_test() -> None:
    """Each sentence of the table of promises has the name of a test in it."""
    text = (ROOT / "SECURITY.md").read_text()
    table = text.partition("## What mupc promises")[2].partition("\n## ")[0]
    rows = [row.split("|")[2] for row in table.splitlines() if row.startswith("| ")]
    promises = rows[1:]  # below the names of the columns
    assert len(promises) > 20
    for promise in promises:
        whole = re.sub(r"\([^()]*\)", lambda found: found[0].replace(". ", " "), promise)
        for sentence in re.split(r"(?<=\.)\s+(?=[A-Z`])", whole.strip()):
            assert re.search(r"`test_\w+`", sentence), sentence
