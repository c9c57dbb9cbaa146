"""Folders that exports write: complete before they are seen, and never over another's files."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from results.errors import LedgerError

MARKER = ".mupc-export.json"
"""The file that marks a folder as one of these."""


@contextmanager
def replaced(place: Path, form: str, *, force: bool) -> Iterator[Path]:
    """Yield an empty folder; afterwards its files replace those of the same names at a place.

    If the block fails, the place is as it was. Other files there stay.

    Args:
        place: the folder.
        form: what is written: "csv" or "huggingface".
        force: whether to replace files that no export wrote.

    Raises:
        LedgerError: there is something at the place that no export of this form wrote.
    """
    _require_ours(place, form, force=force)
    place.parent.mkdir(parents=True, exist_ok=True)
    staged = place.with_name(f".{place.name}.{uuid4().hex[:8]}.tmp")
    staged.mkdir()
    try:
        yield staged
        (staged / MARKER).write_text(json.dumps({"form": form}) + "\n")
        files = sorted(path.relative_to(staged) for path in staged.rglob("*") if path.is_file())
        for path in files:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (staged / path).replace(place / path)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _require_ours(place: Path, form: str, *, force: bool) -> None:
    if not place.exists() and not place.is_symlink():
        return
    if not place.is_dir():
        raise LedgerError(f"--to {place}: it exists, and is no folder")
    if force or not any(place.iterdir()) or _form(place) == form:
        return
    raise LedgerError(
        f"--to {place}: the folder has files that no export to {form} wrote: choose another, or "
        "replace those of the same names with --force"
    )


def _form(place: Path) -> object:
    try:
        found = json.loads((place / MARKER).read_bytes()[:1000])
    except (OSError, ValueError, RecursionError):
        return None
    return found.get("form") if isinstance(found, dict) else None
