"""The contents of a job: the code of this project and the command that the cluster runs."""

import io
import os
import shlex
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from jobs.errors import OURS, SubmissionError
from pccore.own import Own
from results.uri import refusal

PACKAGES = ("mupc", *OURS)

SPEC = "spec.yaml"
NOTIFY = "notify"
"""The file with the URL of --notify, in a job that has one."""
CONTINUE = "MUPC_CONTINUE"
MOST_FILE_BYTES, MOST_BYTES = 10_000_000, 50_000_000
_CLUSTERS_LEDGER = '"${MUPC_LEDGER:-$HOME/runs}"'
_SUFFIXES = (".py", ".pyi", ".j2")  # of everything that the packages need
_MARKER = "py.typed"


def pack(
    spec: str, own: Iterable[Own] = (), beside: Mapping[str, bytes] = MappingProxyType({})
) -> dict[str, bytes]:
    """Return the files of a job by name: the packages of this project, their version, the spec.

    Only modules, stubs and templates are taken. Hidden files and folders are left out, and links
    that lead out of their package.

    Args:
        spec: in YAML.
        own: the names of things of the user's in it, whose modules are sent beside it.
        beside: files in the folder of the spec, by name.

    Raises:
        SubmissionError: a package is not installed as files, or is too large; or a thing of the
            user's is not an attribute of a module.
    """
    files: dict[str, bytes] = {}
    size = 0
    for package in PACKAGES:
        found = find_spec(package)
        if found is None or found.origin is None:
            raise SubmissionError(
                f"the package {package} cannot be sent, because it is not installed as files"
            )
        root = Path(found.origin).parent.resolve()
        for path in _sources(root):
            data = _content(path)
            size += len(data)
            if size > MOST_BYTES:
                raise SubmissionError(
                    f"the code is larger than {MOST_BYTES / 1e6:g} MB and is not sent: "
                    f"remove what does not belong to the package from {root}"
                )
            files[(package / path.relative_to(root)).as_posix()] = data
    # Rows of the ledger then name this version, whatever is installed on the cluster.
    metadata = f"Metadata-Version: 2.1\nName: mupc\nVersion: {version('mupc')}\n"
    files[f"mupc-{version('mupc')}.dist-info/METADATA"] = metadata.encode()
    files[SPEC] = spec.encode()
    return {**files, **own_files(own), **beside}


def own_files(own: Iterable[Own]) -> dict[str, bytes]:
    """Return the files of the modules that hold things of the user's, beside the spec.

    Raises:
        SubmissionError: a thing was defined elsewhere than at the top of a module in a file.
    """
    files: dict[str, bytes] = {}
    for name in own:
        module, _, attribute = name.reference.partition("@")[0].partition(":")
        if module == "__main__" or "<" in attribute:
            raise SubmissionError(
                f"{name} is defined in {module}:{attribute}, which the cluster cannot import: "
                "write it at the top of a module of its own and import it from there"
            )
        for each in name.modules:
            for path, relative in _files_of(each):
                files[relative] = _content(path)
    return files


def _files_of(module: str) -> Iterator[tuple[Path, str]]:
    """Yield the file of a module and those of the packages that it is in, each with its place."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        place = "/".join(parts[:count])
        file = getattr(sys.modules.get(place.replace("/", ".")), "__file__", None)
        if file is None:
            continue
        is_package = Path(file).name == "__init__.py"
        yield Path(file), f"{place}/__init__.py" if is_package else f"{place}.py"


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return files as a zip file, which depends on their names and contents alone."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = ZipInfo(name)  # with the date 1980-01-01
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def command(
    name: str,
    ledger: str | None,
    workers: int | None,
    data_dir: str | None,
    fail_on: Sequence[str] = (),
    *,
    notify: bool = False,
) -> str:
    """Return the shell command that runs experiment `name` on the head node of a cluster.

    `python` is looked up on the PATH of the process that started Ray there.

    Raises:
        SubmissionError: the ledger is a relative path, which would be deleted with the folder of
            the job, or holds a secret, which the cluster shows to all of its users.
    """
    _check(ledger)
    if data_dir is not None and "://" in data_dir:
        raise SubmissionError("--data-dir must be a folder on the cluster's head node, not a URI")
    words = ["python", "-m", "mupc", "run", SPEC, "--pool", "ray", "--address", "auto"]
    words += ["--workers", str(workers)] if workers is not None else []
    words += ["--data-dir", data_dir] if data_dir is not None else []
    words += ["--fail-on", ",".join(fail_on)] if fail_on else []
    words += ["--notify", f"@{NOTIFY}"] if notify else []
    where = _CLUSTERS_LEDGER if ledger is None else shlex.quote(ledger)
    return f'{shlex.join(words)} --ledger {where} --report "$HOME"/report/{shlex.quote(name)}'


def _check(ledger: str | None) -> None:
    if ledger is None:
        return
    if reason := refusal(ledger):
        raise SubmissionError(f"--ledger {reason}; set them where Ray is started on the head node")
    if "://" not in ledger and not PurePosixPath(ledger).is_absolute():
        raise SubmissionError(
            f"--ledger {ledger!r} must be on the cluster: give the absolute path of a folder "
            "on its head node, or a URI such as s3://bucket/runs"
        )


def _sources(root: Path) -> Iterator[Path]:
    """Yield the files of a package that it needs, sorted by path."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            needed = name.endswith(_SUFFIXES) or name == _MARKER
            if not needed or name.startswith("."):
                continue
            if path.exists() and path.resolve().is_relative_to(root):
                yield path


def _content(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # which does not wait for a pipe
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        regular = stat.S_ISREG(status.st_mode)
        data = file.read(MOST_FILE_BYTES + 1) if regular else b""
    if not regular or len(data) > MOST_FILE_BYTES:
        raise SubmissionError(
            f"{path} is not sent: a file of the package must be a regular file of at most "
            f"{MOST_FILE_BYTES / 1e6:g} MB"
        )
    return data
