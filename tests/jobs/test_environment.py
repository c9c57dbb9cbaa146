"""Environment of JAX: thread caps, and a compilation cache that survives damage."""

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pool_trainers as trainers
import pytest
from pool_trainers import MakePool, collect_all, facts_of, group

from jobs.pools import compile_cache, environment

# One thread uses one core at most; the rest is noise of the clocks.
AT_MOST_ONE_CORE = 1.2


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        (None, "--xla_cpu_multi_thread_eigen=false"),
        ("--xla_dump_to=/x", "--xla_dump_to=/x --xla_cpu_multi_thread_eigen=false"),
        ("--xla_cpu_multi_thread_eigen=true", "--xla_cpu_multi_thread_eigen=true"),
    ],
)
def test_user_flags_take_precedence(
    monkeypatch: pytest.MonkeyPatch, users: str | None, expected: str
) -> None:
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    if users:
        monkeypatch.setenv("XLA_FLAGS", users)
    flags = environment.thread_caps(1)["XLA_FLAGS"]
    assert flags == expected
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert environment.thread_caps(1)["XLA_FLAGS"] == expected  # idempotent


def test_local_threads_are_capped() -> None:
    script = (
        "import transfer, jobs, pool_trainers as t\n"  # imports must not start JAX's devices
        "pool = jobs.LocalPool(workers=1, train=t.cores_used)\n"
        "pool.submit(t.group('g'))\n"
        "print(t.facts_of(pool.collect()[0].outcomes[0]))\n"
    )
    variables = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "PJRT_NPROC")}
    variables["PYTHONPATH"] = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=True
    )
    assert 0 < float(done.stdout) < AT_MOST_ONE_CORE


@pytest.mark.slow
@pytest.mark.ray
def test_ray_workers_are_capped(make_ray_pool: MakePool) -> None:
    pool = make_ray_pool(workers=1, train=trainers.cores_used)
    pool.submit(group("g"))
    (result,) = collect_all(pool, 1)
    assert 0 < facts_of(result.outcomes[0]) < AT_MOST_ONE_CORE


def test_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MUPC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert compile_cache.user_cache() == tmp_path / "xdg" / "mupc"
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "own"))
    assert compile_cache.user_cache() == tmp_path / "own"


def test_only_truncated_entries_are_removed(tmp_path: Path) -> None:
    whole = zlib.compress(os.urandom(1000))
    entries = {
        "whole-cache": whole,
        "truncated-cache": whole[:-5],
        "empty-cache": b"",
        "other": b"?",
    }
    for name, data in entries.items():
        (tmp_path / name).write_bytes(data)
    assert sorted(compile_cache.remove_truncated(tmp_path)) == ["empty-cache", "truncated-cache"]
    assert (tmp_path / "whole-cache").read_bytes() == whole
    assert (tmp_path / "other").exists()
    assert compile_cache.remove_truncated(tmp_path) == []


def test_entries_are_read_again_after_the_clock_was_ahead(tmp_path: Path) -> None:
    compile_cache.remove_truncated(tmp_path)
    ahead = time.time() + 2 * 86_400
    os.utime(tmp_path / "checked", (ahead, ahead))
    (tmp_path / "empty-cache").touch()
    assert compile_cache.remove_truncated(tmp_path) == ["empty-cache"]
    (tmp_path / "empty-cache").touch()
    assert compile_cache.remove_truncated(tmp_path) == ["empty-cache"]


def test_unwritable_cache_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "file" / "cache"))
    assert compile_cache.open_folder() is None


@pytest.mark.slow
def test_damaged_entry_is_compiled_again_and_replaced(tmp_path: Path) -> None:
    """A worker killed while JAX writes its cache costs the next one a compilation, nothing else."""
    script = (
        "import jobs, pool_trainers as t\n"
        "with jobs.LocalPool(workers=1) as pool:\n"
        "    pool.submit(t.group('g'))\n"
        "    print(pool.collect()[0].outcomes[0].final_train_loss)\n"
    )
    variables = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    variables |= {
        "PYTHONPATH": str(Path(__file__).parent),
        "MUPC_CACHE": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # all programs, however quick to compile
    }

    def train() -> str:
        return subprocess.run(
            [sys.executable, "-c", script],
            env=variables,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    undisturbed = train()
    entries = {entry: entry.read_bytes() for entry in tmp_path.rglob("*-cache")}
    assert entries
    for entry, data in entries.items():
        entry.write_bytes(data[: len(data) // 2])
    assert train() == undisturbed
    for entry in entries:
        assert zlib.decompress(entry.read_bytes())
