"""The URL of a webhook, which is a secret but for the name of its server."""

from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jobs.cluster.address import HOST
from jobs.errors import CommandError

MOST_BYTES = 4096


@dataclass(frozen=True)
class Webhook:
    """The URL of a webhook. All of it but the server's name may be a secret.

    Attributes:
        server: scheme, name and port: what may be shown.
        path: path and query.
        credentials: "user:password", or "".
    """

    server: str
    path: str = field(repr=False)
    credentials: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Webhook":
        """Parse a URL, or @FILE with one.

        Raises:
            CommandError: it is none, or would send a password unencrypted.
        """
        text = cls.read(text)
        try:
            url = urlsplit(text)
            port = f":{url.port}" if url.port else ""
            good = url.scheme in ("http", "https") and HOST.fullmatch(url.hostname or "")
        except ValueError:
            good = None
        if not good or url.fragment or not text.isprintable() or not text.isascii():
            raise CommandError(
                "--notify must be a URL such as https://hooks.example.org/..., or @FILE with one "
                "(the value is not shown, as it may be a secret)"
            )
        host = f"[{url.hostname}]" if ":" in str(url.hostname) else url.hostname
        path = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
        user, _, password = (unquote(part) for part in url.netloc.rpartition("@")[0].partition(":"))
        credentials = f"{user}:{password}" if user or password else ""
        return cls(f"{url.scheme}://{host}{port}", path, credentials)

    @staticmethod
    def read(text: str) -> str:
        """Return the URL that a text is or, as @FILE, names.

        Raises:
            CommandError: the file cannot be read.
        """
        text = text.strip()
        return _read(Path(text[1:])) if text.startswith("@") else text

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request."""
        if not self.credentials:
            return {}
        return {"Authorization": f"Basic {b64encode(self.credentials.encode()).decode()}"}


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MOST_BYTES).strip()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise CommandError(f"--notify: cannot read {str(path)!r}: {reason}") from None
