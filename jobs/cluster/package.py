"""The contents of a job: the code of this project and the command that the cluster runs."""

import shlex
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, urlsplit

from jobs.errors import OURS, SubmissionError

PACKAGES = ("mupc", *OURS)

SPEC = "spec.yaml"
CONTINUE = "MUPC_CONTINUE"
_CLUSTERS_LEDGER = '"${MUPC_LEDGER:-$HOME/runs}"'
_SECRETS = ("access_key", "secret_key", "session_token", "account_key", "sas_token")


def pack(folder: Path) -> None:
    """Copy the packages of this project into a folder, with metadata that states their version."""
    for package in PACKAGES:
        found = find_spec(package)
        if found is None or found.origin is None:
            raise SubmissionError(
                f"the package {package} cannot be sent, because it is not installed as files"
            )
        shutil.copytree(
            Path(found.origin).parent,
            folder / package,
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
        )
    # Rows of the ledger then name this version, whatever is installed on the cluster.
    metadata = folder / f"mupc-{version('mupc')}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: mupc\nVersion: {version('mupc')}\n")


def command(
    name: str,
    ledger: str | None,
    workers: int | None,
    data_dir: str | None,
    fail_on: Sequence[str] = (),
) -> str:
    """Return the shell command that runs experiment `name` on the head node of a cluster.

    `python` is looked up on the PATH of the process that started Ray there.

    Raises:
        SubmissionError: the ledger is a relative path, which would be deleted with the folder of
            the job, or holds a secret, which the cluster shows to all of its users.
    """
    _check(ledger)
    words = ["python", "-m", "mupc", "run", SPEC, "--pool", "ray", "--address", "auto"]
    words += ["--workers", str(workers)] if workers is not None else []
    words += ["--data-dir", data_dir] if data_dir is not None else []
    words += ["--fail-on", ",".join(fail_on)] if fail_on else []
    where = _CLUSTERS_LEDGER if ledger is None else shlex.quote(ledger)
    return f'{shlex.join(words)} --ledger {where} --report "$HOME"/report/{shlex.quote(name)}'


def _check(ledger: str | None) -> None:
    if ledger is None:
        return
    if "://" not in ledger:
        if not PurePosixPath(ledger).is_absolute():
            raise SubmissionError(
                f"--ledger {ledger!r} must be on the cluster: give the absolute path of a folder "
                "on its head node, or a URI such as s3://bucket/runs"
            )
        return
    url = urlsplit(ledger)
    if "@" in ledger or any(key in _SECRETS for key, _ in parse_qsl(url.query)):
        place = ledger.partition("?")[0].rpartition("@")[2]
        shown = place if "://" in place else f"{ledger.partition(':')[0]}://{place}"
        raise SubmissionError(
            f"--ledger {shown!r} holds a key, which every user of the cluster could read: "
            "configure credentials on its head node instead (a role, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY)"
        )
