"""Bad data of a user's own: one sentence on stderr that names the file and the fault, status 2."""

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import mupc, write_spec
from PIL import Image

X = np.arange(24.0).reshape(12, 2)
Y = np.arange(12) % 3


def npz(**arrays: Any) -> Callable[[Path], dict[str, Any]]:
    """Return a function that writes an .npz file and returns the data set of a spec."""

    def write(folder: Path) -> dict[str, Any]:
        np.savez(folder / "my.npz", **{"x": X, "y": Y, **arrays})
        return {"file": "my.npz"}

    return write


def file(name: str, content: bytes | str, **keys: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)
        return {"file": name, **keys}

    return write


def table(text: str, **keys: Any) -> Callable[[Path], dict[str, Any]]:
    return file("my.csv", text, **{"target": "y", **keys})


def parquet(columns: dict[str, Any], **keys: Any) -> Callable[[Path], dict[str, Any]]:
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return file("my.parquet", content.getvalue(), **{"target": "y", **keys})


def picture(size: tuple[int, int], mode: str = "L") -> bytes:
    content = io.BytesIO()
    width, height = size
    noise = np.random.RandomState(0).bytes(width * height * len(Image.new(mode, (1, 1)).tobytes()))
    Image.frombytes(mode, size, noise).save(content, "PNG")
    return content.getvalue()


def pictures(*contents: bytes) -> Callable[[Path], dict[str, Any]]:
    """Return a function that writes pictures to the folders of two classes in turn."""

    def write(folder: Path) -> dict[str, Any]:
        for number, content in enumerate(contents):
            path = folder / "pictures" / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return {"file": "pictures"}

    return write


def declared(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that declares a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def npy(shape: tuple[int, ...], data: bytes = b"") -> bytes:
    """Return an .npy file that declares a shape of float64."""
    content = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue() + data


def archive(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(f"{name}.npy", data)
    return content.getvalue()


def pickled(folder: Path) -> dict[str, Any]:
    np.save(folder / "x.npy", np.array([{}, [], None], dtype=object), allow_pickle=True)
    np.save(folder / "y.npy", Y)
    return {"file": ["x.npy", "y.npy"]}


def with_test(folder: Path, text: str) -> dict[str, Any]:
    (folder / "train.csv").write_text(ROWS)
    (folder / "test.csv").write_text(text)
    return {"file": "train.csv", "target": "y", "test": "test.csv"}


def pipe(folder: Path) -> dict[str, Any]:
    os.mkfifo(folder / "my.csv")
    return {"file": "my.csv", "target": "y"}


def empty_folder(folder: Path) -> dict[str, Any]:
    (folder / "pictures" / "a").mkdir(parents=True)
    return {"file": "pictures"}


ROWS = "a,b,y\n" + "".join(f"{n},{n * n % 7},{'uvw'[n % 3]}\n" for n in range(12))

# What is wrong: how to write it, and fragments of the sentence.
CASES: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "nan": (
        npz(x=np.where(X == 5, np.nan, X)),
        ("my.npz: x has no number (nan) in sample 2 (counted from 0), input 1",),
    ),
    "inf": (
        npz(x=np.where(X == 4, np.inf, X)),
        ("x has inf in sample 2 (counted from 0), input 0",),
    ),
    "too large for float32": (
        npz(x=X * 1e300),
        ("in sample 0 (counted from 0), input 1, too large for float32",),
    ),
    "complex": (npz(x=X + 1j), ("x must have numbers, got complex numbers",)),
    "text as pixels": (npz(x=X.astype(str)), ("x must have numbers, got text such as '0.0'",)),
    "no samples": (npz(x=X[:0], y=Y[:0]), ("x must have samples", "(0, 2)")),
    "constant inputs": (npz(x=0 * X), ("every input is the same",)),
    "one class": (npz(y=0 * Y), ("y has one class only",)),
    "other lengths": (npz(y=Y[:7]), ("x has 12 samples, y has 7",)),
    "labels from 1": (npz(y=Y + 1), ("labels from 0, got 1 to 3: subtract 1",)),
    "negative labels": (npz(y=Y - 1), ("y must have labels from 0, got -1",)),
    "gap in the labels": (npz(y=2 * Y), ("without gaps", "no sample of 1")),
    "huge label": (npz(y=Y * 2**40), ("without gaps, got 2199023255552",)),
    "float labels": (npz(y=Y + 0.5), ("whole numbers or text, got float64 such as 0.5",)),
    "integer matrix": (npz(y=np.stack([Y, Y], 1)), ("one label (n,) or a one-hot row (n, K)",)),
    "constant targets": (npz(y=np.ones((12, 2))), ("y is the same for every sample",)),
    "nan in targets": (npz(y=np.full((12, 2), np.nan)), ("y has no finite number", "sample 0")),
    "empty test set": (npz(x=X[:2], y=Y[:2]), ("test = 0.2 of 2 samples is an empty test set",)),
    "test set of other inputs": (npz(x_test=X[:, :1], y_test=Y), ("x has 2 inputs", "x_test 1")),
    "test set of other length": (npz(x_test=X, y_test=Y[:3]), ("x_test has 12", "y_test has 3")),
    "new class in the test set": (
        npz(x_test=X, y_test=Y + 1),
        ("y_test has the label 3, which no training sample has",),
    ),
    "array missing": (
        lambda folder: npz()(folder) | {"target": "labels"},
        ("my.npz has no array 'labels': it has x, y",),
    ),
    "records": (npz(x=np.zeros(12, [("a", "f4")])), ("x.npy has records",)),
    "pickled": (pickled, ("x.npy has Python objects, which are pickled and not read",)),
    "npy declares terabytes": (
        lambda folder: (
            (file("x.npy", npy((2**40, 3)))(folder) and file("y.npy", npy((3,)))(folder))
            and {"file": ["x.npy", "y.npy"]}
        ),
        ("x.npy declares 26,388,279,066,624 bytes", "more than the 17,179,869,184"),
    ),
    "npz declares terabytes": (
        file("my.npz", archive(x=npy((2**40, 3)), y=npy((3,), bytes(24)))),
        ("x.npy declares 26,388,279,066,624 bytes",),
    ),
    "npz unpacks to too much": (
        file("my.npz", archive(x=npy((5 * 10**6,), bytes(4 * 10**7)))),
        ("unpacks to more than",),
    ),
    "npz ends early": (
        file("my.npz", archive(x=npy((4,), bytes(8)), y=npy((4,), bytes(32)))),
        ("x.npy is damaged: it has 8 bytes after its header, which declares 32",),
    ),
    "no zip": (file("my.npz", b"not a zip"), ("my.npz is damaged: it cannot be unpacked",)),
    "one npy": (file("x.npy", npy((0,))), ("x.npy has inputs only: give two files",)),
    "IDX cut": (
        lambda folder: (
            file("a.idx", b"\0\0\x08\x01\0\0\0\x09ab")(folder) and {"file": ["a.idx", "a.idx"]}
        ),
        ("a.idx is 10 bytes long, but its IDX header declares 17",),
    ),
    "missing value": (
        table("a,y\n1,u\n,v\n"),
        ("my.csv: ", "nan) in sample 1 (counted from 0), column 'a'"),
    ),
    "missing label": (table("a,y\n1,u\n2,\n"), ("y has no value in sample 1",)),
    "column missing": (
        table(ROWS, target="speces"),
        ("my.csv has no column 'speces': it has a, b, y",),
    ),
    "column missing, nearly": (
        table(ROWS.replace("b,", "beta,"), columns=["bta"]),
        ("my.csv has no column 'bta'", "did you mean 'beta'?"),
    ),
    "column twice": (table("a,a,y\n1,2,u\n"), ("my.csv has two columns named 'a'",)),
    "target among inputs": (table(ROWS, columns=["a", "y"]), ("column 'y' must be in columns or",)),
    "no target": (file("my.csv", ROWS), ("target is missing: name the column", "a, b, y")),
    "text among inputs": (
        table(ROWS.replace("\n3,", "\nthree,")),
        ("column 'a' must have a number per sample, got text",),
    ),
    "no names": (table("1,2,3\n4,5,6\n"), ("names of its columns in the first line",)),
    "names only": (table("a,y\n"), ("my.csv has no rows",)),
    "empty": (table(""), ("my.csv is empty",)),
    "line too long": (
        table("a,y\n1,u\n1,2,3\n"),
        ("my.csv is not a table: Expected 2 columns, got 3: 1,2,3",),
    ),
    "no UTF-8": (file("my.csv", b"a,y\n1,\xff\n", target="y"), ("not text in UTF-8",)),
    "gzip cut": (
        file("my.csv.gz", gzip.compress(ROWS.encode())[:-9], target="y"),
        ("my.csv.gz is damaged: it cannot be unpacked",),
    ),
    "gzip unpacks to too much": (
        file("my.csv.gz", gzip.compress(bytes(2**26)), target="y"),
        ("unpacks to more than the",),
    ),
    "test set without a column": (
        lambda folder: with_test(folder, "a,y\n1,u\n"),
        ("x_test has no column 'b': it has a, y",),
    ),
    "test set with a new class": (
        lambda folder: with_test(folder, "a,b,y\n1,2,z\n"),
        ("y_test has the class 'z', which no training sample has: they have u, v, w",),
    ),
    "pipe": (pipe, ("my.csv cannot be read: it is not a regular file",)),
    "no file": (lambda folder: {"file": "none.csv", "target": "y"}, ("none.csv cannot be read",)),
    "unknown ending": (file("my.xlsx", b""), ("my.xlsx has no known ending: it must be .npz",)),
    "no Parquet": (file("my.parquet", b"PAR1", target="y"), ("no Parquet file",)),
    "dates": (
        parquet({"t": pa.array([1, 2], pa.timestamp("s")), "y": ["u", "v"]}),
        ("has the type timestamp[ms] in column 't'",),
    ),
    "lists of different lengths": (
        parquet({"x": [[1.0], [1.0, 2.0]], "y": ["u", "v"]}),
        ("lists of different lengths in column 'x'",),
    ),
    "folder without classes": (empty_folder, ("pictures has no folder per class",)),
    "pictures of two sizes": (
        pictures(picture((4, 4)), picture((4, 5))),
        ("1.png is 4 x 5 in grey, the first picture 4 x 4 in grey",),
    ),
    "grey and colour": (pictures(picture((4, 4)), picture((4, 4), "RGB")), ("in colour, the",)),
    "picture cut": (pictures(picture((64, 64))[:-30]), ("0.png is damaged: ",)),
    "picture declares gigabytes": (
        pictures(declared(60_000, 60_000)),
        ("0.png declares more than the 16,777,216 pixels",),
    ),
    "picture declares too much": (
        pictures(declared(9_000, 9_000)),
        ("0.png declares 9000 x 9000 pixels, more than the 16,777,216",),
    ),
    "no picture": (pictures(b"GIF89a"), ("0.png is not a picture in PNG or JPEG",)),
    "16 bits": (pictures(picture((4, 4), "I;16")), ("more than 8 bits per pixel",)),
    "path in place of a name": (lambda _: "my.npz", ("dataset must be the name", "{file: ...}")),
    "unknown key": (lambda _: {"file": "a", "tagret": "y"}, ("did you mean 'target'?",)),
    "no such share": (lambda _: {"file": "a", "test": 1.5}, ("dataset.test must be", "got 1.5")),
    "share of nothing": (lambda _: {"file": "a", "test": 0.0}, ("dataset.test", "got 0.0")),
    "three files": (lambda _: {"file": ["a", "b", "c"]}, ("dataset.file", "2 to 2", "got 3")),
    "no such normalisation": (
        lambda _: {"file": "a", "normalise": "globl"},
        ("'globl'", "did you mean 'global'?"),
    ),
    "arrays in YAML": (lambda _: [[1, 2], [3, 4]], ("mupc.Dataset.from_arrays(x, y)",)),
    "batch larger than the data": (npz(), ("batch_size must be at most 9", "data-", "got 64")),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_status_2(case: str, tmp_path: Path) -> None:
    write, fragments = CASES[case]
    write_spec(tmp_path, dataset=write(tmp_path))
    done = mupc(tmp_path, "run", "spec.yaml")
    assert done.returncode == 2
    assert done.stdout == ""
    (sentence,) = done.stderr.strip().splitlines()
    assert sentence.startswith("mupc: spec.yaml: line ")
    for fragment in fragments:
        assert fragment in sentence
    assert not (tmp_path / "runs").exists()
