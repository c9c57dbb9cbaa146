"""Settings of the whole test run, and the compilation cache that its processes share."""

import gc
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import wheels
from hypothesis import settings

if os.environ.get("MUPC_CHECK_TYPES"):
    # Before pccore is imported: its functions then check their annotations at every call.
    jaxtyping.install_import_hook(["pccore"], "type_checker.check")

CACHE = Path(__file__).parents[1] / ".cache" / "tests"

gc.disable()  # until everything is collected
os.environ.pop("MUPC_LEDGER", None)  # a user's ledger must not receive the runs of tests

# The tests compile thousands of tiny programs, for which optimisation costs more than it saves:
# without it they take 40 % less processor time. `make check-all` runs them optimised, as users do.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and platform.machine() == "x86_64":
    # XLA's older emitters, and narrow vectors: half of the processor time that compiling takes.
    flags = "--xla_cpu_use_fusion_emitters=false --xla_cpu_max_isa=SSE4_2"
    os.environ["XLA_FLAGS"] = f"{flags} {os.environ.get('XLA_FLAGS', '')}".strip()


def share_compiled_programs() -> None:
    """Keep compiled programs in the checkout, for all processes of this run and for later runs.

    The folder's name has the CPU's features in it, and JAX's keys the program, its options and the
    versions of JAX and XLA. Entries torn by the processes that tests kill are removed.
    """
    os.environ.setdefault("MUPC_CACHE", str(CACHE))
    from jobs.pools import compile_cache

    if folder := compile_cache.open_folder():
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")


# Before anything imports JAX, which reads its environment once.
share_compiled_programs()

# Without deadlines: the time that a test takes depends on what else the machine does. `make test`
# draws the same examples every time, so that their programs are in the cache; `make check-all`
# draws new ones.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("new", deadline=None)
settings.load_profile("same")


def pytest_collection_finish() -> None:
    """Collect garbage seldom: what is loaded stays, and tracing makes millions of objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check annotations in the tests of pccore alone.

    Elsewhere the checks take half of an experiment's processor time: it makes the configurations of
    its runs again and again, in plain Python.
    """
    jaxtyping.config.update("jaxtyping_disable", item.path.parent.name != "pccore")


@pytest.fixture(autouse=True, scope="module")
def compiled_programs_are_dropped() -> Iterator[None]:
    """Free what a module has compiled.

    Every program maps memory of its own, and Linux allows a process 65,530 mappings. Beyond that
    XLA's compiler crashes with a segmentation fault, and the whole suite comes close.
    """
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture
def usual_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the settings of the compiler that users have, which are part of run ids."""
    import jax

    name = "jax_disable_most_optimizations"
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    before = jax.config.values[name]
    jax.config.update(name, False)
    yield
    jax.config.update(name, before)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, to build from."""
    source = tmp_path_factory.mktemp("copy") / "source"
    wheels.copy_source(source)
    return source


@pytest.fixture(scope="session")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    wheels.build(source, folder)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment into which pip installed the wheel."""
    return wheels.install(wheel, tmp_path_factory.mktemp("environment"))
