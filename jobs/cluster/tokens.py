"""The authentication token of a Ray cluster: its sources and its file permissions.

Anyone who reaches a Ray cluster can run code on it, unless the cluster requires a token. This
project uses a cluster on other machines only if it requires one.
"""

import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import TokenError

TOKEN, TOKEN_PATH, MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"
DEFAULT_PATH = Path("~/.ray/auth_token")
HOW_TO_MAKE = (
    "create a token with (umask 077; ray get-auth-token --generate), "
    f"copy {DEFAULT_PATH} to every node and start Ray there with {MODE}=token"
)
HOW_TO_GIVE = f"put the cluster's token into {DEFAULT_PATH} (chmod 600), or name it by {TOKEN_PATH}"
_MOST_BYTES = 4096


@dataclass(frozen=True)
class Token:
    """Token with its source.

    Attributes:
        text: the secret, excluded from `repr`.
        source: the environment variable or the path of the file, for messages.
    """

    text: str = field(repr=False)
    source: str


def find_token() -> Token | None:
    """Return the token that Ray would use, or None.

    In order of precedence: the variable `RAY_AUTH_TOKEN`, the file that `RAY_AUTH_TOKEN_PATH`
    names, the file `~/.ray/auth_token`.

    Raises:
        TokenError: the file cannot be read or is readable by other users, or holds no token.
    """
    if text := os.environ.get(TOKEN, "").strip():
        return Token(_valid(text, f"the variable {TOKEN}"), TOKEN)
    named = os.environ.get(TOKEN_PATH)
    path = _expanded(Path(named or DEFAULT_PATH))
    if not named and not path.exists():
        return None
    return Token(_read(path), str(path))


def make_private() -> None:
    """Create `~/.ray/auth_token`, or restrict it to its owner.

    Call this before Ray starts on this machine: Ray creates a missing file readable by all users.

    Raises:
        TokenError: the file cannot be created or changed, or the user has no home folder for it.
    """
    if os.environ.get(TOKEN) or os.environ.get(TOKEN_PATH):
        return
    path = _expanded(DEFAULT_PATH)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            path.chmod(0o600)
        else:
            with os.fdopen(made, "w") as file:
                file.write(secrets.token_hex(32))
    except OSError as error:
        raise TokenError(f"cannot create the token file {path}: {error.strerror}") from None


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise TokenError(
            f"this user has no home folder for Ray's token {path}: set HOME, or {TOKEN_PATH} to "
            "the file that has it"
        ) from None


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # which does not wait for a pipe
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)  # of the open file
            content = file.read(_MOST_BYTES + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise TokenError(f"cannot read the token file {path}: {error.strerror or error}") from None
    mode = stat.S_IMODE(status.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise TokenError(
            f"the token file {path} can be read by others (its mode is {mode:04o}): "
            f"run chmod 600 {path}"
        )
    return _valid(content.decode("ascii", "replace").strip(), f"the token file {path}")


def _valid(text: str, source: str) -> str:
    """Return a token; refuse what cannot stand in the header of a request."""
    if not text or len(text) > _MOST_BYTES or not (text.isascii() and text.isprintable()):
        raise TokenError(f"{source} holds no token: {HOW_TO_GIVE}")
    return text
