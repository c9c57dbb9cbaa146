"""Data sets in files: every format has the content of the arrays, whatever it is written in."""

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pccore.data import Dataset, DatasetError
from transfer import read_dataset

RANDOM = np.random.RandomState(0)
N = 30
X = RANDOM.standard_normal((N, 3)) * [1, 100, 1e-3]
Y = np.arange(N) % 3
KINDS = np.array(["fox", "hen", "owl"])
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "kind": KINDS[Y]})
PIXELS = RANDOM.randint(0, 256, (N, 4, 5)).astype(np.uint8)
COLOURS = RANDOM.randint(0, 256, (N, 4, 5, 3)).astype(np.uint8)

Write = Callable[[Path], Dataset]


def npz(folder: Path) -> Dataset:
    np.savez(folder / "my.npz", x=X, y=Y)
    return read_dataset(folder / "my.npz")


def npz_of_other_names(folder: Path) -> Dataset:
    np.savez_compressed(folder / "my.npz", images=np.asfortranarray(X), labels=KINDS[Y], other=3)
    return read_dataset(folder / "my.npz", columns="images", target="labels")


def two_npy(folder: Path) -> Dataset:
    np.save(folder / "x.npy", X.astype(">f8"))
    np.save(folder / "y.npy", Y.astype(np.uint8))
    return read_dataset([folder / "x.npy", folder / "y.npy"])


def csv(folder: Path) -> Dataset:
    FRAME.to_csv(folder / "my.csv", index=False)
    return read_dataset(folder / "my.csv", target="kind")


def csv_with_another_column(folder: Path) -> Dataset:
    frame = FRAME.assign(note="n/a")[["kind", "note", "c", "b", "a"]]
    frame.to_csv(folder / "my.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return read_dataset(folder / "my.csv", target="kind", columns=["a", "b", "c"])


def gzipped_csv(folder: Path) -> Dataset:
    FRAME.to_csv(folder / "my.csv.gz", index=False)
    return read_dataset(folder / "my.csv.gz", target="kind")


def tsv(folder: Path) -> Dataset:
    FRAME.to_csv(folder / "my.tsv", index=False, sep="\t")
    return read_dataset(folder / "my.tsv", target="kind")


def parquet(folder: Path) -> Dataset:
    FRAME.to_parquet(folder / "my.parquet", row_group_size=7)
    return read_dataset(folder / "my.parquet", target="kind")


def parquet_of_vectors(folder: Path) -> Dataset:
    table = pa.table({"v": X.tolist(), "kind": pa.array(KINDS[Y]).dictionary_encode()})
    pq.write_table(table, folder / "my.parquet")
    return read_dataset(folder / "my.parquet", target="kind")


def shards(folder: Path) -> Dataset:
    for number, rows in enumerate((slice(0, 11), slice(11, N))):
        FRAME[rows].to_parquet(folder / f"train-0000{number}-of-00002.parquet")
    return read_dataset(folder, target="kind")


@pytest.mark.parametrize(
    "write",
    [
        *(npz, npz_of_other_names, two_npy, csv, csv_with_another_column, gzipped_csv, tsv),
        *(parquet, parquet_of_vectors, shards),
    ],
)
def test_numbers(write: Write, tmp_path: Path) -> None:
    ours, theirs = write(tmp_path), Dataset.from_arrays(X, Y)
    assert (ours.digest, ours.name) == (theirs.digest, theirs.name)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx(folder: Path) -> Dataset:
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(PIXELS)))
    (folder / "labels.idx").write_bytes(idx_bytes(Y.astype(np.uint8)))
    files = [folder / "train-images-idx3-ubyte.gz", folder / "labels.idx"]
    return read_dataset(files, normalise="global")


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def by_class(folder: Path, pixels: np.ndarray, y: np.ndarray) -> None:
    """Write pictures to folders of classes, in the order of the classes."""
    for number, (each, label) in enumerate(zip(pixels, y, strict=True)):
        path = folder / KINDS[label] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(each))


def test_pixels_in_idx(tmp_path: Path) -> None:
    assert idx(tmp_path).digest == Dataset.from_arrays(PIXELS, Y, normalise="global").digest


@pytest.mark.parametrize("pixels", [PIXELS, COLOURS], ids=["grey", "colour"])
def test_pictures_in_folders_of_classes(pixels: np.ndarray, tmp_path: Path) -> None:
    by_class(tmp_path, pixels, Y)
    order = np.argsort(Y, kind="stable")
    by_colour = pixels if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    theirs = Dataset.from_arrays(by_colour[order], KINDS[Y[order]], normalise="global")
    ours = read_dataset(tmp_path, normalise="global")
    assert ours.digest == theirs.digest
    assert ours.train_x.dtype == np.uint8


def test_pictures_in_folders_of_splits(tmp_path: Path) -> None:
    by_class(tmp_path / "train", PIXELS[:3], Y[:3])
    by_class(tmp_path / "test", PIXELS[3:6], Y[3:6])
    (tmp_path / "test" / ".hidden").mkdir()
    theirs = Dataset.from_arrays(PIXELS[:3], Y[:3], x_test=PIXELS[3:6], y_test=Y[3:6])
    assert read_dataset(tmp_path).digest == theirs.digest


@pytest.mark.parametrize("place", ["data/{}-00000-of-00001.parquet", "default/{}/0000.parquet"])
def test_pictures_in_a_data_set_of_hugging_face(place: str, tmp_path: Path) -> None:
    """Its column of pictures has their bytes and paths."""
    parts = {"train": slice(0, 20), "test": slice(20, N), "validation": slice(0, 3)}
    for split, rows in parts.items():
        path = tmp_path / place.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        image = [{"bytes": png(each), "path": None} for each in PIXELS[rows]]
        pq.write_table(pa.table({"image": image, "label": Y[rows]}), path)
    theirs = Dataset.from_arrays(PIXELS[:20], Y[:20], x_test=PIXELS[20:], y_test=Y[20:])
    assert read_dataset(tmp_path, target="label").digest == theirs.digest


def test_arrays_and_splits_of_an_npz_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "k.npz", x_train=X[:20], y_train=Y[:20], x_test=X[20:], y_test=Y[20:])
    theirs = Dataset.from_arrays(X[:20], Y[:20], x_test=X[20:], y_test=Y[20:])
    assert read_dataset(tmp_path / "k.npz").digest == theirs.digest


def test_test_set_in_a_file_is_read_by_the_names_of_columns(tmp_path: Path) -> None:
    FRAME[:20].to_csv(tmp_path / "train.csv", index=False)
    FRAME[20:][["c", "kind", "a", "b"]].to_csv(tmp_path / "test.csv", index=False)
    theirs = Dataset.from_arrays(X[:20], Y[:20], x_test=X[20:], y_test=Y[20:])
    ours = read_dataset(tmp_path / "train.csv", target="kind", test=tmp_path / "test.csv")
    assert ours.digest == theirs.digest


def test_columns_of_real_targets(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "my.csv", index=False)
    ours = read_dataset(tmp_path / "my.csv", target=["b", "c"], columns="a")
    assert ours.digest == Dataset.from_arrays(X[:, :1], X[:, 1:]).digest
    one = read_dataset(tmp_path / "my.csv", target="c", columns=["a", "b"], task="regression")
    assert one.digest == Dataset.from_arrays(X[:, :2], X[:, 2:]).digest


def test_options_are_those_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "my.npz", x=X, y=Y)
    options: dict[str, Any] = {"test": 0.4, "seed": 3, "normalise": (1.0, 2.0), "name": "mine"}
    ours = read_dataset(tmp_path / "my.npz", **options)
    assert ours.digest == Dataset.from_arrays(X, Y, **options).digest
    assert ours.name.startswith("mine-")


def test_text_repeated_by_a_dictionary_is_bounded(tmp_path: Path) -> None:
    """A text that a file of 10 kB has once is the value of each of its million rows."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 10**6, pa.int32()), ["x" * 10**5])
    table = pa.table({"v": [1.0] * 10**6, "kind": text})
    pq.write_table(table, tmp_path / "my.parquet")
    assert (tmp_path / "my.parquet").stat().st_size < 10**5
    with pytest.raises(DatasetError, match=r"my\.parquet (takes|declares) .* allowed for its size"):
        read_dataset(tmp_path / "my.parquet", target="kind")
