"""What the tests of transfer leave to those of pccore."""

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture(autouse=True, scope="module")
def annotations_of_pccore_are_not_checked() -> Iterator[None]:
    """Leave these checks to the tests of pccore: here they take half of the processor time.

    An experiment makes the configurations of its runs again and again, in plain Python.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
