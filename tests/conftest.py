"""What holds for every test."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

if os.environ.get("MUPC_CHECK_TYPES"):
    # Before pccore is imported: its functions then check their annotations at every call.
    install_import_hook(["pccore"], "beartype.beartype")

os.environ.pop("MUPC_LEDGER", None)  # whose runs are not to be mixed with those of tests

# Time says nothing on a machine that others share; what is wrong fails without a deadline too.
settings.register_profile("mupc", deadline=None)
settings.load_profile("mupc")


@pytest.fixture(autouse=True, scope="module")
def compiled_programs_are_dropped() -> Iterator[None]:
    """Frees what a module has compiled.

    Every program maps memory of its own, and Linux lets a process have 65,530 mappings: past them
    XLA's compiler crashes with a segmentation fault. The whole suite comes near.
    """
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
