"""Data sets in files of the user's own: arrays, tables, pictures."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pccore.data import Dataset, DatasetError
from pccore.data.files import MOST_BYTES
from pccore.data.idx import read_idx
from pccore.data.images import class_folders, decoded, read_folders
from pccore.data.normalisation import Normalise
from pccore.data.npy import read_npy, read_npz
from pccore.data.targets import Task
from results.errors import TableError

Place = str | Path
Places = Place | Sequence[Place]
"""A file or folder; or two files, with inputs and with targets."""

KINDS = ".npz, .csv, .tsv, .parquet, or two .npy or IDX files, or a folder"
DEEPEST = 3
"""Levels of folders in which Parquet files are looked for: whole file systems are not walked."""

_SPLIT = re.compile(r"(train|test|validation|valid|val|dev)(?![A-Za-z])")
_IDX = re.compile(r"idx\d?-?ubyte$|\.idx$")


@dataclass(frozen=True)
class _Part:
    """Samples of a file: inputs and targets as `Dataset.from_arrays` takes them.

    Attributes:
        x: inputs, or columns with those of the targets among them.
        y: targets, or the names of their columns.
        x_test: the same for a test set; None if the file has none.
        y_test: their targets.
    """

    x: object
    y: object
    x_test: object = None
    y_test: object = None


def read_dataset(
    file: Places,
    *,
    target: str | Sequence[str] | None = None,
    columns: str | Sequence[str] | None = None,
    test: float | Places | None = None,
    seed: int = 0,
    normalise: Normalise = "per feature",
    task: Task | None = None,
    name: str = "data",
) -> Dataset:
    """Return the data set in a file of the user's own: that of `Dataset.from_arrays` with its
    arrays.

    Args:
        file: an .npz file with arrays x, y and maybe x_test, y_test; a table in .csv, .tsv (both
            may be gzipped) or .parquet; a folder with a folder of pictures per class, maybe within
            folders train and test; a folder of Parquet files, such as a data set of Hugging Face;
            or two .npy or IDX files, with inputs and with targets.
        target: the column of the targets, or the array in an .npz file; several for a regression.
        columns: the columns of the inputs, all others by default, or the array in an .npz file.
        test: the share of samples that is split off, or the file or files of the test set.
        seed: of the split.
        normalise: as for `Dataset.from_arrays`.
        task: as for `Dataset.from_arrays`.
        name: as for `Dataset.from_arrays`.

    Raises:
        DatasetError: in one sentence, what is wrong with a file.
    """
    share = test if isinstance(test, int | float) else None
    with _about(file):
        part = _read(file, target, columns)
        if test is not None and share is None:
            with _about(test):  # type: ignore[arg-type]  # a place, as it is no share
                tested = _read(test, target, columns)  # type: ignore[arg-type]
            part = _Part(part.x, part.y, tested.x, tested.y)
        return Dataset.from_arrays(
            part.x,
            part.y,
            x_test=part.x_test,
            y_test=part.y_test,
            test=share,
            seed=seed,
            normalise=normalise,
            task=task,
            name=name,
        )


@contextmanager
def _about(places: Places) -> Iterator[None]:
    """Begin the sentence of an error with the file that it is about, unless it does."""
    try:
        yield
    except (DatasetError, TableError) as error:
        named = [str(place) for place in _listed(places)]
        text = str(error)
        if not any(name in text for name in named):
            text = f"{' and '.join(named)}: {text}"
        raise DatasetError(text) from None


def _listed(places: Places) -> list[Path]:
    return [Path(places)] if isinstance(places, str | Path) else [Path(each) for each in places]


def _read(
    places: Places, target: str | Sequence[str] | None, columns: str | Sequence[str] | None
) -> _Part:
    paths = _listed(places)
    if len(paths) == 2:
        for option, value in (("target", target), ("columns", columns)):
            if value is not None:
                raise DatasetError(f"{option} must be left out for two files, got {value!r}")
        return _Part(_array(paths[0]), _array(paths[1]))
    if len(paths) != 1:
        raise DatasetError(f"give one file, or one of inputs and one of targets; got {len(paths)}")
    (path,) = paths
    if path.is_dir():
        return _folder(path, target, columns)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    match suffix.lower():
        case ".npz":
            return _npz(path, target, columns)
        case ".csv":
            return _table([path], target, columns, separator=",")
        case ".tsv":
            return _table([path], target, columns, separator="\t")
        case ".parquet":
            return _table([path], target, columns)
    if suffix.lower() == ".npy" or _IDX.search(path.name.removesuffix(".gz")):
        raise DatasetError(f"{path} has inputs only: give two files, with inputs and with targets")
    if not path.exists():
        raise DatasetError(f"{path} cannot be read: No such file or directory")
    raise DatasetError(f"{path} has no known ending: it must be {KINDS}")


def _array(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    if _IDX.search(path.name.removesuffix(".gz")):
        return read_idx(path, MOST_BYTES)
    raise DatasetError(f"{path} must end in .npy, .idx or idx-ubyte[.gz], as one of two files")


def _npz(
    path: Path, target: str | Sequence[str] | None, columns: str | Sequence[str] | None
) -> _Part:
    for option, value in (("target", target), ("columns", columns)):
        if value is not None and not isinstance(value, str):
            raise DatasetError(f"{option} must name one array of {path}, got {list(value)}")
    arrays = read_npz(path)
    found: list[object] = []
    for chosen, usual in ((columns, "x"), (target, "y")):
        base = str(chosen) if chosen else usual
        key = next((key for key in (base, f"{base}_train") if key in arrays), None)
        if key is None:
            names = ", ".join(arrays) or "none"
            raise DatasetError(f"{path} has no array {base!r}: it has {names}")
        found += [arrays[key], arrays.get(f"{base}_test")]
    x, x_test, y, y_test = found
    return _Part(x, y, x_test, y_test)


def _table(
    paths: Sequence[Path],
    target: str | Sequence[str] | None,
    columns: str | Sequence[str] | None,
    separator: str | None = None,
) -> _Part:
    """Return the inputs and the targets of a table: of Parquet files, or of one in CSV."""
    from results.storage.own_tables import read_csv, read_parquet  # which import pyarrow and pandas

    def read(wanted: Sequence[str]) -> Mapping[str, object]:
        return read_csv(paths[0], wanted, separator) if separator else read_parquet(paths, wanted)

    if target is None:
        names = list(read([]))
        shown = names if len(names) <= 10 else [*names[:9], "...", names[-1]]
        raise DatasetError(
            f"target is missing: name the column of the targets, of {', '.join(shown)}; "
            "the option of commands is --target"
        )
    targets = [target] if isinstance(target, str) else list(target)
    inputs = [columns] if isinstance(columns, str) else list(columns or ())
    for option, given in (("target", targets), ("columns", inputs)):
        twice = [name for place, name in enumerate(given) if name in given[:place]]
        if twice:
            raise DatasetError(f"{option} must not name a column twice, got {twice[0]!r}")
    both = sorted(set(inputs) & set(targets))
    if both:
        raise DatasetError(f"column {both[0]!r} must be in columns or in target, not in both")
    table = read([*inputs, *targets] if inputs else [])
    for name in targets:
        if name not in table:
            read([name])  # whose error names the columns that there are
    table = {
        name: decoded(values, f"column {name!r}") if isinstance(values, list) else values
        for name, values in table.items()
    }
    return _Part(table, target if isinstance(target, str) else targets)


def _folder(
    folder: Path, target: str | Sequence[str] | None, columns: str | Sequence[str] | None
) -> _Part:
    found = (path for depth in range(DEEPEST) for path in folder.glob("*/" * depth + "*.parquet"))
    tables = sorted(path for path in found if path.is_file())
    if tables:
        return _shards(folder, tables, target, columns)
    for option, value in (("target", target), ("columns", columns)):
        if value is not None:
            raise DatasetError(f"{option} must be left out for a folder of pictures, got {value!r}")
    train, test = folder / "train", folder / "test"
    if train.is_dir() and test.is_dir():
        x, y = _pictures(train)
        return _Part(x, y, *_pictures(test))
    return _Part(*_pictures(folder))


def _pictures(folder: Path) -> tuple[np.ndarray, list[str]]:
    found = class_folders(folder)
    if not found:
        raise DatasetError(
            f"{folder} has no folder per class with pictures in PNG or JPEG, and no .parquet files"
        )
    return read_folders(found)


def _shards(
    folder: Path,
    tables: Sequence[Path],
    target: str | Sequence[str] | None,
    columns: str | Sequence[str] | None,
) -> _Part:
    """Return what a folder of Parquet files has, whose names say which split each is of.

    The test set is the split "test", or else the one for validation.
    """
    splits: dict[str, list[Path]] = {}
    for path in tables:
        splits.setdefault(_split_of(path.relative_to(folder)), []).append(path)
    if "train" not in splits:
        raise DatasetError(f"{folder} has no Parquet files of a training set: {', '.join(splits)}")
    train = _table(splits["train"], target, columns)
    rest = splits.get("test") or splits.get("validation")
    if rest is None:
        return train
    test = _table(rest, target, columns)
    return _Part(train.x, train.y, test.x, test.y)


def _split_of(path: Path) -> str:
    """Return the split that a path of a Parquet file names: "train" unless it names another."""
    for part in reversed(path.parts):
        found = _SPLIT.match(part.lower())
        if found:
            return found[1] if found[1] in ("train", "test") else "validation"
    return "train"
