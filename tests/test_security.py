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
