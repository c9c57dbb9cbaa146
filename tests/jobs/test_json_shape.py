"""`--json` of every command: one object, with the keys that docs/cli.md lists."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import mupc

import mupc as package
import results
from commands import commands, options
from jobs.cluster import submit as submission
from jobs.cluster.submit import Job, JobStatus

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
NOW = datetime(2026, 11, 30, tzinfo=UTC)
JOB = Job("tiny-1", JobStatus.SUCCEEDED, "tiny", None, NOW, NOW, "")

CALLS = {
    "new": ["{folder}/new.yaml"],
    "init": ["{folder}/filled"],
    "completion": ["bash", "--print"],
    "datasets": [],
    "schema": [],
    "doctor": [],
    "run": ["spec.yaml"],
    "plan": ["spec.yaml", "--no-calibrate"],
    "layouts": ["spec.yaml"],
    "results": ["--limit", "2"],
    "sql": ["select 1 as one"],
    "diff": ["tiny", "tiny"],
    "export": ["{run}", "--to", "{folder}/network.npz"],
    "pruning": [],
    "check": [],
    "report": ["--out", "{folder}/report"],
    "submit": ["spec.yaml", "--dry-run"],
    "list": [],
    "status": ["tiny-1"],
    "logs": ["tiny-1"],
    "stop": ["tiny-1"],
}


@pytest.fixture(scope="module")
def home(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished experiment, to which commands write."""
    copy = tmp_path_factory.mktemp("json") / "home"
    shutil.copytree(home, copy)
    return copy


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster with one finished job. Those of tests/jobs/test_submission.py are real."""
    monkeypatch.setattr(submission, "list_jobs", lambda address: [JOB])
    monkeypatch.setattr(submission, "status", lambda job, address: JOB)
    monkeypatch.setattr(submission, "stop", lambda job, address: JOB)
    monkeypatch.setattr(submission, "logs", lambda job, address: "what it printed")


def documented() -> dict[str, list[set[str]]]:
    """Return the keys of every command on the page: one set for each way of calling it."""
    found = {}
    for name, text in re.findall(r"^\| `([\w ]+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE):
        ways = text.split("; ")
        found[name] = [set(re.findall(r"`(\w+)`", re.sub(r"^.*?: ", "", way))) for way in ways]
    return found


def test_every_command_is_tried_and_documented() -> None:
    named = {name for name, each in commands().items() if "--json" in options(each)}
    assert set(CALLS) == named
    assert named <= set(documented())


@pytest.mark.parametrize("command", CALLS)
def test_json_is_one_object_with_the_documented_keys(
    command: str, home: Path, tmp_path: Path, cluster: None, request: pytest.FixtureRequest
) -> None:
    if command in ("run", "report"):
        request.getfixturevalue("empty_reports")
    kept = results.open(home / "runs").runs()
    run = kept[kept["weights_digest"].notna()]["run_id"].iloc[0][:10]
    words = [word.format(folder=tmp_path, run=run) for word in CALLS[command]]
    done = mupc(home, *command.split(), *words, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert list(document)[:2] == ["mupc", "command"]
    assert (document["mupc"], document["command"]) == (package.__version__, command)
    keys = set(document) - {"mupc", "command"}
    ways = documented()[command]
    if command in ("status", "stop"):
        ways = [set(json.loads(mupc(home, "list", "--json").stdout)["jobs"][0])]
    exact = command not in ("export",)
    assert any(keys == way if exact else way <= keys for way in ways), keys


def test_datasets_of_a_file_and_installed_completion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.csv").write_text(
        "a,b,y\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(20))
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    for words, way in (
        (["datasets", "my.csv", "--target", "y"], 1),
        (["datasets", "--fetch", "digits"], 2),
        (["completion", "fish"], 0),
    ):
        document = json.loads(mupc(tmp_path, *words, "--json").stdout)
        assert set(document) - {"mupc", "command"} == documented()[words[0]][way]


def test_stream_and_object_exclude_each_other(tmp_path: Path) -> None:
    for command in (["logs", "tiny-1"], ["submit", "spec.yaml"]):
        done = mupc(tmp_path, *command, "--follow", "--json")
        assert (done.returncode, done.stdout) == (2, "")
        assert "--follow and --json are mutually exclusive" in done.stderr


def test_errors_leave_stdout_empty(tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = mupc(tmp_path, "results", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
