"""What `make test` leaves to `make check-all`: of costly tests some examples and some cases.

Every example and most cases compile programs of their own, which is what such tests spend their
time on.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings


def examples(count: int, **others: Any) -> settings:
    """Return settings with `count` examples in `make check-all`, otherwise with an eighth."""
    same = settings.get_current_profile_name() == "same"
    return settings(max_examples=-(-count // 8) if same else count, **others)


def cases(values: Iterable[Any], first: int) -> list[Any]:
    """Return values of a parameter, of which only the first ones are not marked slow.

    Pass the values that differ most first.
    """
    return [
        pytest.param(value, marks=[] if number < first else [pytest.mark.slow])
        for number, value in enumerate(values)
    ]


def every(count: int) -> int:
    """Return 1 in `make check-all`, otherwise `count`: the step through many similar cases."""
    return count if settings.get_current_profile_name() == "same" else 1


ray_later = pytest.mark.parametrize(
    "make_pool",
    ["local", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow])],
    indirect=True,
)
"""Mark of tests that `make test` runs on the local pool alone."""
