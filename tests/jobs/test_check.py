"""`mupc check`: damaged files are named, and moved away with --quarantine."""

import json
from datetime import UTC, datetime
from pathlib import Path

from command import mupc

import results


def test_names_damaged_files_and_moves_them_away(tmp_path: Path) -> None:
    ledger = results.open(tmp_path / "runs", create=True)
    for name in ("a", "b"):
        row = {"run_id": name, "experiment": "one", "phase": "tune", "outcome": "trained"}
        ledger.append([row | {"started": datetime(2026, 1, 2, tzinfo=UTC)}])
    sound = mupc(tmp_path, "check")
    assert (sound.returncode, sound.stdout) == (0, "all files are intact\n")

    victim = next((tmp_path / "runs" / "runs").iterdir())
    victim.write_bytes(victim.read_bytes()[:-1])
    found = mupc(tmp_path, "check")
    assert found.returncode == 1
    assert f"runs/{victim.name} is damaged: " in found.stdout
    assert found.stdout.endswith(
        "1 file excluded from every query; --quarantine moves damaged files away\n"
    )

    moved = mupc(tmp_path, "check", "--quarantine", "--json")
    assert moved.returncode == 0
    assert [each["path"] for each in json.loads(moved.stdout)["damaged"]] == [f"runs/{victim.name}"]
    assert (tmp_path / "runs" / "quarantine" / "runs" / victim.name).exists()
    assert results.open(tmp_path / "runs").check() == []


def test_rejects_missing_ledger(tmp_path: Path) -> None:
    done = mupc(tmp_path, "check", "--ledger", "nothing")
    assert done.returncode == 2
    assert done.stderr == "mupc: there is no ledger at 'nothing'\n"
