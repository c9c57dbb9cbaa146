"""Fuzzers over what is received: data files of users, weights of networks, answers of job servers.

As for `test_fuzz.py`, each runs for `MUPC_FUZZ_SECONDS`.
"""

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fuzzing import fuzz
from http_server import Handler, http_server
from hypothesis import strategies as st
from PIL import Image
from test_fuzz import edited, edits

import jobs
import results
from jobs.cluster import http, submit, tokens
from pccore.data import DatasetError
from results import LedgerError
from results.storage.weights import KeptWeights, encode
from transfer.datasets import read_dataset
from transfer.engine.trained_networks import predictor

pytestmark = pytest.mark.slow

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
)
Edits = list[tuple[float, bytes]]

X = np.arange(48, dtype=np.float32).reshape(16, 3) % 7
Y = np.arange(16) % 2
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "target": Y})


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    sink = io.BytesIO()
    write(sink)
    return sink.getvalue()


NPZ = _written(lambda sink: np.savez(sink, x=X, y=Y))
NPY = _written(lambda sink: np.save(sink, X))
PNG = _written(lambda sink: Image.fromarray(np.eye(4, dtype=np.uint8) * 200).save(sink, "png"))
FILES = {
    "a.npz": NPZ,
    "a.csv": FRAME.to_csv(index=False).encode(),
    "a.tsv": FRAME.to_csv(index=False, sep="\t").encode(),
    "a.parquet": _written(FRAME.to_parquet),
}
TABLES = ("a.csv", "a.tsv", "a.parquet")


@st.composite
def data_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a file of a kind that is read, with odd content; in archives with right checksums."""
    name = draw(st.sampled_from([*FILES, "a.npy", "a.png"]))
    changes = draw(edits(6))
    if name == "a.npz" and draw(st.booleans()):
        header = edited(NPY, changes)
        return name, _written(lambda sink: _archive(sink, header))
    if name in ("a.csv", "a.tsv") and draw(st.booleans()):
        cells = st.text(max_size=8) | st.floats().map(str) | st.integers().map(str)
        rows = draw(st.lists(st.lists(cells, max_size=4), max_size=8))
        lines = ["a,b,target", *(",".join(row) for row in rows)]
        return name, "\n".join(lines).encode("utf-8", "surrogatepass")
    return name, edited({**FILES, "a.npy": NPY, "a.png": PNG}[name], changes)


def _archive(sink: io.BytesIO, member: bytes) -> None:
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", member)
        archive.writestr("y.npy", _written(lambda file: np.save(file, Y)))


def test_own_data_files(tmp_path: Path) -> None:
    targets = tmp_path / "targets.npy"
    np.save(targets, Y)
    for label in ("one", "two"):
        folder = tmp_path / "pictures" / label
        folder.mkdir(parents=True)
        (folder / "whole.png").write_bytes(PNG)

    def attack(file: tuple[str, bytes]) -> None:
        name, content = file
        place = tmp_path / "pictures" / "one" / name if name == "a.png" else tmp_path / name
        place.write_bytes(content)
        what: Any = {"a.png": tmp_path / "pictures", "a.npy": (place, targets)}.get(name, place)
        target = "target" if name in TABLES else None
        with contextlib.suppress(DatasetError):
            found = read_dataset(what, target=target, test=0.25)
            assert np.isfinite(found.train_x).all()
            assert found.input_size >= 1
        place.unlink()

    assert fuzz(data_files(), attack)


def test_kept_weights(tmp_path: Path) -> None:
    """Safetensors files with matching digests, and descriptions of other networks."""
    ledger = results.open(tmp_path / "ledger", create=True)
    run_id = "0" * 32
    network = {"kind": "stacked", "input_size": 2, "output_size": 2, "width": 3, "depth": 2}
    about = {"data": {"name": "x", "mean": 0.0, "std": 1.0}, "network": network, "settings": {}}
    arrays = {"weight_0": np.ones((3, 2), np.float32)}
    whole = encode(arrays, {"run_id": run_id, **about})
    folder = tmp_path / "ledger" / "weights"
    folder.mkdir(exist_ok=True)
    keys = st.sampled_from([*about, *network, "run_id", "conventions", "activation"])
    odd = st.dictionaries(keys, JSON | st.dictionaries(keys, JSON))

    def attack(one: tuple[Edits, dict[str, Any]]) -> None:
        changes, other = one
        for data in (edited(whole, changes), encode(arrays, {**about, **other, "run_id": run_id})):
            digest = hashlib.sha256(data).hexdigest()
            path = folder / f"{run_id}-{digest}.safetensors"
            path.write_bytes(data)
            with contextlib.suppress(LedgerError):
                found = ledger.weights.load(run_id, digest)
                assert isinstance(found, KeptWeights)
                predictor(found)
            path.unlink()

    assert fuzz(st.tuples(edits(8), odd), attack)


def test_answers_of_a_job_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (tokens.TOKEN, tokens.TOKEN_PATH, tokens.MODE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(http, "SECONDS", 0.5)
    monkeypatch.setattr(submit, "STOP_SECONDS", 0.1)
    job = {
        "submission_id": "tiny-1",
        "status": "RUNNING",
        "metadata": {"mupc_experiment": "tiny", "mupc_ledger": "runs"},
        "start_time": 1_700_000_000_000,
        "message": "runs",
    }
    odd_job = st.fixed_dictionaries({}, optional=dict.fromkeys([*job, "driver_exit_code"], JSON))
    bodies = (
        odd_job.map(lambda odd: json.dumps([{**job, **odd}]).encode())
        | odd_job.map(lambda odd: json.dumps({**job, **odd, "logs": "x"}).encode())
        | st.binary(max_size=200)
        | JSON.map(lambda content: json.dumps(content).encode())
    )
    raw = st.binary(max_size=60).map(lambda junk: b"HTTP/1.1 200 OK\r\n" + junk)
    answers = st.tuples(st.sampled_from([200, 204, 302, 404, 500, 599]), bodies) | raw
    served: dict[str, Any] = {}

    def answer(handler: Handler, what: str) -> None:
        now = served["answer"]
        if what.endswith("authentication_mode") and served["sound"]:
            handler.send_json({"authentication_mode": "disabled"})
        elif isinstance(now, bytes):
            handler.close_connection = True
            handler.write(now)
        else:
            handler.send_whole(now[0], {"Content-Type": "application/json"}, now[1])

    with http_server(answer) as server:

        def attack(one: tuple[Any, bool]) -> None:
            served["answer"], served["sound"] = one
            address = server.address
            for ask in (
                lambda: jobs.list_jobs(address),
                lambda: jobs.status("tiny-1", address),
                lambda: jobs.logs("tiny-1", address),
                lambda: jobs.stop("tiny-1", address),
            ):
                with contextlib.suppress(jobs.SubmissionError):
                    ask()
            server.seen.clear()

        assert fuzz(st.tuples(answers, st.sampled_from([True, True, True, False])), attack)


def test_what_is_edited_is_sound(tmp_path: Path) -> None:
    """Edits reach the depth of the readers only if the files can be read as they are."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
        target = "target" if name in TABLES else None
        assert len(read_dataset(tmp_path / name, target=target, test=0.25).train_x) == 12
