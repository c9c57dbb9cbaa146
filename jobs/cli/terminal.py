"""The streams of a command: letters that a terminal lacks, and streams that cannot be written."""

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import TextIO, cast

from results.untrusted import printable

LINES = "\n\t"  # control characters that texts of several lines keep
PLAIN = {"Δ": "d", "±": "+-", "≤": "<=", "×": "x", "η": "eta", "β": "beta", "λ": "lambda"}
_HANDLER = "mupc"


@contextmanager
def tolerated_streams() -> Iterator[None]:
    """Let no message end a command: letters that stdout or stderr lacks are written otherwise, and
    what stderr cannot take is lost."""
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    codecs.register_error(_HANDLER, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)
    with redirect_stderr(cast(TextIO, _Tolerant(sys.stderr))):
        yield


def say(*texts: object, end: str = "\n", error: bool = False) -> None:
    """Print texts that may be from outside, with what controls a terminal escaped.

    Args:
        texts: one or more texts, of one or more lines.
        end: what follows.
        error: whether to print on stderr instead of stdout.
    """
    shown = (printable(text, keep=LINES) for text in texts)
    print(*shown, end=end, file=sys.stderr if error else sys.stdout, flush=True)


def discard(stream: TextIO) -> None:
    """Send a stream to nowhere, so that Python's own flush at exit does not fail again."""
    with suppress(OSError, ValueError):  # it has no descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _nowhere() -> TextIO:
    """Return what stands for a stream that was closed before Python started."""
    return Path(os.devnull).open("w", encoding="utf-8")


class _Tolerant:
    """A stream of messages that may be on a full device, or gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError:
            discard(self._stream)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            discard(self._stream)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, "?") for letter in letters), error.end
