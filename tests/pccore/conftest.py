"""Which compiled programs the tests of pccore keep."""

from collections.abc import Iterator

import jax
import pytest

KEPT_FROM = 0.3
"""Seconds of compilation. Each test has programs of its own; to write the smaller ones costs more
than any later test saves by reading them."""


@pytest.fixture(autouse=True, scope="module")
def only_costly_programs_are_kept() -> Iterator[None]:
    """Raise the threshold of JAX's persistent cache."""
    name = "jax_persistent_cache_min_compile_time_secs"
    before = jax.config.values[name]
    jax.config.update(name, KEPT_FROM)
    yield
    jax.config.update(name, before)
