"""Settings of property tests that take long because every example compiles its own programs."""

from typing import Any

from hypothesis import settings


def examples(count: int, **others: Any) -> settings:
    """Return settings with `count` examples in `make check-all`, and a third of them otherwise."""
    same = settings.get_current_profile_name() == "same"
    return settings(max_examples=-(-count // 3) if same else count, **others)
