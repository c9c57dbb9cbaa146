"""An S3 server (moto) in this process, with an empty bucket."""

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

BUCKET = "s3://bucket"


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Start the server; yield the environment variables, keys included, by which Arrow finds it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line per request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        made = urllib.request.Request(f"{endpoint}/bucket", method="PUT")
        urllib.request.urlopen(made).close()
        yield {
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "key",
            "AWS_ENDPOINT_URL": endpoint,
        }
    finally:
        server.stop()
