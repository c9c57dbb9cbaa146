"""What the system lacks or refuses is told in one sentence; letters never end a command."""

import io
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import jax
import pytest
from command import MUPC, called, exit_code, mupc, mupc_process, write_spec

from jobs.cli.terminal import tolerated_streams
from jobs.cluster.tokens import make_private
from jobs.errors import PoolError, TokenError, is_users
from jobs.pools import compile_cache, environment, ray_cluster
from pccore import data
from pccore.training import reference


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME and without an entry in the list of users, as in many containers."""

    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "MUPC_CACHE", "XDG_CACHE_HOME", "MUPC_DATA", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A JAX that fails as it does for JAX_PLATFORMS=cuda without a GPU."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(jax, "local_devices", fail)


def test_without_a_home_there_is_no_cache(homeless: None) -> None:
    assert compile_cache.open_folder() is None
    environment.prepare()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


@pytest.mark.parametrize(
    "arguments", ["datasets", "datasets --json", "layouts {spec}", "layouts {spec} --json"]
)
def test_commands_work_without_a_home(homeless: None, tmp_path: Path, arguments: str) -> None:
    spec = str(write_spec(tmp_path))
    done = mupc(tmp_path, *arguments.format(spec=spec).split())
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "~").exists()


def test_data_without_a_home_are_asked_for_in_a_sentence(
    homeless: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(data.DatasetError, match=r"no home folder.*MUPC_DATA"):
        data.load("mnist")
    done = called(capsys, "datasets", "--fetch", "mnist")
    assert done.returncode == 2
    assert done.stderr.startswith("mupc: this user has no home folder")


def test_ray_without_a_home_is_refused_in_a_sentence(
    homeless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    with pytest.raises(TokenError, match=r"no home folder.*RAY_AUTH_TOKEN_PATH"):
        make_private()


@pytest.mark.parametrize("command", ["run", "plan", "layouts"])
def test_missing_device_is_one_sentence(no_device: None, tmp_path: Path, command: str) -> None:
    write_spec(tmp_path)
    done = mupc(tmp_path, command, "spec.yaml")
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("mupc: JAX cannot start: JAX_PLATFORMS=cuda asks for a device")


def test_doctor_answers_without_a_device(no_device: None, homeless: None, tmp_path: Path) -> None:
    done = mupc(tmp_path, "doctor", "--json")
    facts = json.loads(done.stdout)
    assert done.returncode == 1
    assert facts["computes_right"] is False
    assert facts["devices"] is facts["cache_dir"] is facts["data_dir"] is None
    assert "JAX_PLATFORMS=cuda" in facts["problems"]["devices"]
    assert "no home" in facts["problems"]["cache_dir"]
    assert facts["versions"]["jax"] == jax.__version__
    assert mupc(tmp_path, "doctor").returncode == 1


def test_doctor_tells_wrong_numbers_from_right_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = mupc(tmp_path, "doctor", "--json")
    facts = json.loads(right.stdout)
    assert right.returncode == 0
    assert facts["computes_right"] is True
    assert facts["deviation"] < 1e-4
    monkeypatch.setattr(reference, "TEST_LOSSES", tuple(1.1 * x for x in reference.TEST_LOSSES))
    wrong = mupc(tmp_path, "doctor", "--json")
    assert wrong.returncode == 1
    assert json.loads(wrong.stdout)["deviation"] == pytest.approx(1 - 1 / 1.1, rel=1e-3)


def test_value_that_jax_refuses_is_the_users() -> None:
    """Such values in the environment end the import of JAX."""
    with pytest.raises(ValueError, match="maybe") as caught:
        jax.config.update("jax_numpy_rank_promotion", "maybe")
    assert is_users(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["doctor", "run spec.yaml", "plan spec.yaml --ledger l"])
def test_cuda_without_a_gpu(tmp_path: Path, command: str) -> None:
    write_spec(tmp_path)
    done = mupc_process(tmp_path, *command.split(), JAX_PLATFORMS="cuda")
    assert done.returncode == (1 if command == "doctor" else 2), done.stderr
    assert "Traceback" not in done.stderr
    assert "JAX_PLATFORMS=cuda" in done.stdout + done.stderr


def test_ray_that_does_not_start_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray's sockets must have short paths; other faults of its start have other classes."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107")

    monkeypatch.setenv("RAY_AUTH_TOKEN", "x")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(ray_cluster.ray, "init", fail)
    monkeypatch.setattr(ray_cluster.ray, "shutdown", lambda: None)
    with pytest.raises(PoolError, match=r"Ray does not start: .*107.* below RAY_TMPDIR="):
        ray_cluster.connect("local", 1, lambda _: None)


def test_deleted_current_folder_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, gone = write_spec(tmp_path), tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for ledger in ("runs", str(tmp_path / "runs")):  # the report's folder is relative, too
        done = called(capsys, "run", str(spec), "--ledger", ledger)
        assert done.returncode == 2
        assert done.stderr == ("mupc: the current folder no longer exists: change to another one\n")
    assert called(capsys, "datasets").returncode == 0


class Output(io.TextIOWrapper):
    """A stream of a terminal with another encoding."""

    def __init__(self, encoding: str) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", b"deta 1 +- 2 <= 3 beta ?\n"),
        ("latin-1", b"deta 1 \xb1 2 <= 3 beta ?\n"),
        ("utf-8", "Δeta 1 ± 2 ≤ 3 β 多\n".encode()),
    ],
)
def test_letters_that_a_terminal_lacks_are_written_otherwise(
    encoding: str, expected: bytes
) -> None:
    out, err = Output(encoding), Output(encoding)
    with redirect_stdout(out), redirect_stderr(err), tolerated_streams():
        for stream in (sys.stdout, sys.stderr):
            print("Δeta 1 ± 2 ≤ 3 β 多", file=stream, flush=True)
    assert out.bytes.getvalue() == err.bytes.getvalue() == expected


@pytest.fixture
def finished(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_reports: None
) -> None:
    """Be in a folder with a copy of the finished experiment."""
    shutil.copytree(home, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")


def test_run_and_plan_on_a_terminal_without_letters(finished: None) -> None:
    for command in ("run", "plan"):
        out, err = Output("ascii"), Output("ascii")
        argv = ["mupc", command, "spec.yaml", *(["--no-calibrate"] if command == "plan" else [])]
        with patch.object(sys, "argv", argv), redirect_stdout(out), redirect_stderr(err):
            assert exit_code() == 0, err.bytes.getvalue()
        assert b"mupc" in out.bytes.getvalue()


@pytest.fixture
def full() -> Iterator[io.TextIOWrapper]:
    with open("/dev/full", "w") as device:  # noqa: PTH123
        yield device


def test_full_device_is_one_sentence(
    full: io.TextIOWrapper, capsys: pytest.CaptureFixture[str]
) -> None:
    with patch.object(sys, "argv", ["mupc", "datasets"]), redirect_stdout(full):
        assert exit_code() == 2
    assert capsys.readouterr().err == "mupc: the system refused: No space left on device\n"


def test_messages_that_cannot_be_written_end_nothing(
    full: io.TextIOWrapper, capsys: pytest.CaptureFixture[str], finished: None
) -> None:
    with patch.object(sys, "argv", ["mupc", "run", "spec.yaml"]), redirect_stderr(full):
        assert exit_code() == 0
    assert "Did the optimum transfer?" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["datasets"], ["completion", "bash", "--print"]])
def test_reader_that_is_gone_is_told_by_the_status(command: list[str]) -> None:
    """A line that is written at once fails inside the command, where Typer's own status is 1."""
    reader, writer = os.pipe()
    os.close(reader)
    with (
        os.fdopen(writer, "w", buffering=1) as gone,
        patch.object(sys, "argv", ["mupc", *command]),
        redirect_stdout(gone),
    ):
        assert exit_code() == 141


def test_full_device_and_closed_pipe_of_a_process(tmp_path: Path) -> None:
    """Python flushes its streams once more at the end."""
    command = " ".join(MUPC)
    full, closed = f"{command} datasets > /dev/full", f"{command} datasets | true"
    script = f"{full}; echo $?; {closed}; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "141"]
    assert done.stderr == "mupc: the system refused: No space left on device\n"
