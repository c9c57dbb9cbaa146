"""A full disk: one sentence, nothing lost, and the command continues once there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import mupc, write_spec
from test_resume import written

import results


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 128 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_full_disk_ends_the_job_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    write_spec(tmp_path)
    ledger = str(small_disk / "runs")
    results.open(ledger, create=True)
    filling = small_disk / "filling"
    filling.write_bytes(bytes(100 * 1024))
    ended = mupc(tmp_path, "run", "spec.yaml", "--ledger", ledger)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        f"mupc: cannot write to {ledger!r}: No space left on device"
    )
    before = results.open(ledger)
    assert before.check() == []
    kept = set(before.runs()["run_id"])
    filling.unlink()
    subprocess.run(["mount", "-o", "remount,size=10m", str(small_disk)], check=True)
    done = mupc(tmp_path, "run", "spec.yaml", "--ledger", ledger)
    assert done.returncode == 0, done.stderr
    after = results.open(ledger)
    assert after.check() == []
    assert kept < set(after.runs()["run_id"])
    assert written(Path(ledger).parent).total() == len(after.runs())
