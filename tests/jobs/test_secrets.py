"""Secrets that must not be shown or sent: keys in URIs, and files beside the code."""

import io
import json
import os
from pathlib import Path
from zipfile import ZipFile

import pytest
from command import called, write_spec
from http_server import http_server, job_server

import jobs
from jobs import SubmissionError
from jobs.cluster import package
from jobs.cluster.package import pack, zipped

KEY = "S3CR3T"
URIS = (
    f"s3://ID:{KEY}@bucket/runs",
    f"s3://bucket/runs?secret_key={KEY}",
    f"gs://{KEY}@bucket/runs",
    f"abfs://container@account.dfs.core.windows.net/runs?client_secret={KEY}",
)
COMMANDS = {
    "run": ["{spec}", "--json"],
    "plan": ["{spec}", "--json"],
    "submit": ["{spec}", "--json"],
    "results": ["--json"],
    "sql": ["select 1", "--json"],
    "diff": ["one", "two", "--json"],
    "export": ["0123", "--json"],
    "pruning": ["--json"],
    "check": ["--json"],
    "dashboard": ["--port", "0"],
    "report": ["--out", "{folder}/report"],
}


def ledger_commands() -> set[str]:
    """Return the commands that have --ledger."""
    from typer.main import get_command

    from jobs.cli.main import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    return {
        name
        for name, command in commands.items()
        if any("--ledger" in parameter.opts for parameter in command.params)
    }


def test_every_command_with_a_ledger_is_tried() -> None:
    assert set(COMMANDS) == ledger_commands()


@pytest.mark.parametrize("by_variable", [False, True])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_shows_the_key_of_its_ledger(
    command: str,
    by_variable: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = write_spec(tmp_path)
    words = [word.format(spec=spec, folder=tmp_path) for word in COMMANDS[command]]
    for uri in URIS:
        if by_variable:
            monkeypatch.setenv("MUPC_LEDGER", uri)
        else:
            words = [*words, "--ledger", uri]
        done = called(capsys, command, *words)
        assert done.returncode == 2, done.stdout
        assert len(done.stderr.splitlines()) == 1
        assert KEY not in done.stdout + done.stderr
    assert not [path for path in tmp_path.rglob("*") if KEY in path.name]


@pytest.mark.parametrize(
    "arguments",
    [
        ["results", URIS[0]],
        ["results", "--table", URIS[0]],
        ["run", URIS[0]],
        ["run", "{spec}", "--pool", "ray", "--address", f"ray://ID:{KEY}@host:1"],
        ["run", "{spec}", "--pool", "ray", "--address", f"ID:{KEY}@host:1"],
        ["list", "--address", f"http://ID:{KEY}@host:1"],
        ["list", "--address", f"http://host:1?token={KEY}"],
        ["submit", "{spec}", "--data-dir", URIS[0]],
        *(
            ["export", form, *option]
            for form in ("optuna", "mlflow", "tensorboard", "csv", "huggingface")
            for option in (["--ledger", URIS[0]], ["--to", URIS[0]])
        ),
    ],
    ids=str,
)
def test_no_message_shows_a_key(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ray.is_initialized", lambda: False)  # other tests leave it running
    spec = write_spec(tmp_path)
    done = called(capsys, *(word.format(spec=spec) for word in arguments))
    assert done.returncode == 2
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize("key", ["dataset", "name", "variants", "ledger"])
def test_error_of_a_spec_does_not_show_a_key(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = called(capsys, "plan", str(write_spec(tmp_path, **{key: URIS[0]})))
    assert done.returncode == 2
    assert KEY not in done.stdout + done.stderr


def test_keys_in_the_jobs_of_others_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Older versions submitted them."""
    records = [
        {
            "submission_id": f"tiny-{number}",
            "status": "RUNNING",
            "metadata": {"mupc_experiment": "tiny", "mupc_ledger": uri},
        }
        for number, uri in enumerate(URIS)
    ]
    with http_server(job_server(jobs=records)) as server:
        for options in ([], ["--json"]):
            done = called(capsys, "list", "--address", server.address, *options)
            assert done.returncode == 0
            assert "tiny-3" in done.stdout
            assert KEY not in done.stdout


def test_nothing_of_the_environment_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET", "RAY_AUTH_TOKEN", "MY_PASSWORD"):
        monkeypatch.setenv(name, KEY)
    with http_server(job_server()) as server:
        jobs.submit(write_spec(tmp_path), server.address, ledger="s3://bucket/runs")
        assert len(server.seen) == 5
        assert not any(KEY in repr(request) for request in server.seen)


# The package


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is sent; returns its folder."""
    root = tmp_path / "site" / "planted"
    root.mkdir(parents=True)
    for name in ("__init__.py", "stub.pyi", "py.typed", "page.html.j2"):
        (root / name).write_text(name)
    monkeypatch.syspath_prepend(root.parent)
    monkeypatch.setattr(package, "PACKAGES", ("planted",))
    return root


WANTED = {f"planted/{name}" for name in ("__init__.py", "stub.pyi", "py.typed", "page.html.j2")}


def sent() -> dict[str, bytes]:
    files = pack("name: tiny\n")
    return {name: data for name, data in files.items() if name.startswith("planted/")}


def test_package_leaves_out_what_lies_beside_the_code(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text(KEY)
    for name in (
        *(".env", ".git/config", ".git/hook.py", ".venv/lib/x.py", ".hidden.py", ".netrc"),
        *("id_rsa", "key.pem", "credentials.json", "notes.ipynb", "__pycache__/x.pyc", "core"),
        *("data.npy", ".ipynb_checkpoints/x.py", "runs/part.parquet", "module.py~", "py.typed.bak"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(KEY)
    with (root / "weights.bin").open("wb") as file:
        file.truncate(50_000_000)
    (root / "link.py").symlink_to(outside / "secret.py")
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "linked").symlink_to(outside)
    (root / "chain.py").symlink_to(root / "linked" / "secret.py")
    (root / "dangling.py").symlink_to(root / "nowhere.py")
    (root / "loop.py").symlink_to(root / "loop.py")
    files = sent()
    assert set(files) == WANTED
    assert KEY.encode() not in b"".join(files.values())


def test_link_within_the_package_is_sent_as_a_file(root: Path) -> None:
    (root / "alias.py").symlink_to("__init__.py")
    assert sent()["planted/alias.py"] == b"__init__.py"


def test_package_that_is_a_link_is_sent(root: Path) -> None:
    real = root.parent.parent / "checkout"
    root.rename(real)
    root.symlink_to(real)
    assert set(sent()) == WANTED


@pytest.mark.parametrize("what", ["large", "pipe", "whole"])
def test_package_is_bounded(what: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "pipe":
        os.mkfifo(root / "odd.py")
    elif what == "large":
        with (root / "odd.py").open("wb") as file:
            file.truncate(10_000_001)
    else:
        monkeypatch.setattr(package, "MOST_BYTES", 20)
    with pytest.raises(SubmissionError, match=r"odd\.py is not sent|larger than"):
        sent()


def test_archive_depends_on_contents_alone() -> None:
    files = {"b.py": b"2", "a.py": b"1"}
    archive = zipped(files)
    assert archive == zipped(dict(sorted(files.items())))
    with ZipFile(io.BytesIO(archive)) as unpacked:
        assert {name: unpacked.read(name) for name in unpacked.namelist()} == files


def test_dry_run_lists_what_would_be_sent_and_sends_nothing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_server(job_server()) as server:
        arguments = ["submit", str(write_spec(tmp_path)), "--address", server.address, "--dry-run"]
        text = called(capsys, *arguments).stdout
        facts = json.loads(called(capsys, *arguments, "--json").stdout)
        assert server.seen == []
        jobs.submit(tmp_path / "spec.yaml", server.address)
        sent = {what: body for what, _, body in server.seen}
    upload = next(body for what, body in sent.items() if what.startswith("PUT"))
    with ZipFile(io.BytesIO(upload)) as unpacked:
        assert facts["files"] == {each.filename: each.file_size for each in unpacked.infolist()}
    job = json.loads(sent["POST /api/jobs/"])
    assert job["entrypoint"] == facts["entrypoint"]
    assert job["runtime_env"]["env_vars"] == facts["variables"]
    assert {*WANTED, "spec.yaml"} < set(facts["files"])
    assert all(name in text for name in facts["files"])
