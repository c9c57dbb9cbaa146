"""`mupc check`: damaged files named, and moved away when asked to."""

import json
from datetime import UTC, datetime
from pathlib import Path

from command import mupc

import results


def test_a_damaged_ledger_is_named_and_then_mended(tmp_path: Path) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    for name in ("a", "b"):
        row = {"run_id": name, "experiment": "one", "phase": "tune", "outcome": "trained"}
        ledger.append([row | {"started": datetime(2026, 1, 2, tzinfo=UTC)}])
    sound = mupc(tmp_path, "check")
    assert (sound.returncode, sound.stdout) == (0, "every file is what was written\n")

    victim = next((tmp_path / "runs" / "runs").iterdir())
    victim.write_bytes(victim.read_bytes()[:-1])
    found = mupc(tmp_path, "check")
    assert found.returncode == 1
    assert f"runs/{victim.name} is damaged: " in found.stdout
    assert found.stdout.endswith(
        "1 file left out of every answer; --quarantine moves damage away\n"
    )

    moved = mupc(tmp_path, "check", "--quarantine", "--json")
    assert moved.returncode == 0
    assert [each["path"] for each in json.loads(moved.stdout)] == [f"runs/{victim.name}"]
    assert (tmp_path / "runs" / "quarantine" / "runs" / victim.name).exists()
    assert results.open(tmp_path / "runs").check() == []


def test_a_ledger_that_is_not_there(tmp_path: Path) -> None:
    done = mupc(tmp_path, "check", "--ledger", "nothing")
    assert done.returncode == 2
    assert done.stderr == "mupc: there is no ledger at 'nothing'\n"
