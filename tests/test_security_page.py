"""The tests that the security pages name exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_attack_names_its_test() -> None:
    page = (ROOT / "docs" / "security-tests.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\|.*\| \d \|", line)]
    assert len(rows) >= 50
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for file, test in named:
            assert f"def {test}(" in (ROOT / file).read_text(), row


@pytest.mark.parametrize("promise", re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text()))
def test_promise_names_a_test(promise: str) -> None:
    tests = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert any(f"def {promise}(" in text for text in tests)
