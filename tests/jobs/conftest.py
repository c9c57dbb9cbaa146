"""What the whole session shares: a finished experiment, one Ray cluster; and the two pools."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pool_trainers
import pytest
from command import make_plain_folders, mupc, write_spec
from pool_trainers import MakePool

import results
from jobs.cluster.tokens import make_private


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `mupc run` has run the tiny experiment undisturbed; what it said is in
    `out` and `err`. All processes of a test run share it: copy it to write to it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    home = base / "home"
    with (base / "home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "out").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            make_plain_folders(home)
            write_spec(home)
            done = mupc(home, "run", "spec.yaml")
            assert done.returncode == 0, done.stderr
            (home / "err").write_text(done.stderr)
            (home / "out").write_text(done.stdout)
    return home


@pytest.fixture
def empty_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are empty pages: drawing takes longer than everything else in a small run."""

    def report(ledger: results.Ledger, out: Path, experiment: str | None = None) -> Path:
        page = Path(out) / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.touch()
        return page

    monkeypatch.setattr(results, "report", report)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Ray on this machine with two CPU slots, ended by `ray.shutdown` (never by name)."""
    import ray

    make_private()
    often = {"metrics_report_interval_ms": 500}  # ten seconds otherwise
    ray.init(
        "local", num_cpus=2, include_dashboard=False, log_to_driver=False, _system_config=often
    )
    ray.cloudpickle.register_pickle_by_value(pool_trainers)
    yield
    ray.shutdown()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def make_pool(request: pytest.FixtureRequest) -> Iterator[MakePool]:
    """A function that makes a pool of the parameter's kind; pools are closed after the test."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
        from jobs import RayPool as Kind
    else:
        from jobs import LocalPool as Kind
    with ExitStack() as pools:
        yield lambda *args, **options: pools.enter_context(Kind(*args, **options))
    if request.param == "ray":
        _wait_until_workers_have_ended()


@pytest.fixture
def make_ray_pool(ray_cluster: None) -> Iterator[MakePool]:
    """The same for tests of Ray alone."""
    from jobs import RayPool

    with ExitStack() as pools:
        yield lambda **options: pools.enter_context(RayPool(**options))
    _wait_until_workers_have_ended()


def _wait_until_workers_have_ended() -> None:
    """Wait until the next pool finds free slots, which on a busy machine takes a while."""
    import ray

    from jobs.pools.ray_cluster import free

    end = time.monotonic() + 120
    while free("CPU") < ray.cluster_resources().get("CPU", 0) and time.monotonic() < end:
        time.sleep(0.05)
