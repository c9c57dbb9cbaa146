"""The data set of an experiment: a name, a file of the user's own, or arrays from Python."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

import pccore
from pccore.data import Dataset, DatasetInfo
from transfer.datasets import KINDS, read_dataset
from transfer.spec.errors import RejectedError, spec_error
from transfer.spec.fields import (
    LARGEST_RATE,
    SMALLEST_RATE,
    ByType,
    Label,
    NameIn,
    ReadAs,
    Section,
    Seed,
    json_type,
)

_Path = Annotated[str, Field(strict=True, min_length=1, title="path")]
_Pair = Annotated[tuple[_Path, ...], Field(strict=False, min_length=2, max_length=2)]
_Column = Annotated[str, Field(strict=True, title="name of a column")]
_Columns = Annotated[tuple[_Column, ...], Field(min_length=1, max_length=100_000)]
_ColumnOrColumns = Annotated[
    Annotated[_Column, Tag("string")] | Annotated[_Columns, Tag("array")], ByType
]
_Share = Annotated[float, Field(strict=True, ge=0.001, lt=1)]
_Real = Annotated[float, Field(strict=True, ge=-LARGEST_RATE, le=LARGEST_RATE)]


def _json_type(value: object) -> str | None:
    return "number" if isinstance(value, float) else json_type(value)


class MeanAndStd(Section):
    """The mean and the standard deviation of inputs."""

    model_config = ConfigDict(title="mean and std")

    mean: _Real = Field(description="Subtracted from every input.")
    std: Annotated[float, Field(strict=True, ge=SMALLEST_RATE, le=LARGEST_RATE)] = Field(
        description="Divisor of every input after that."
    )


class FileSection(Section):
    """A data set in a file of the user's own (docs/data.md)."""

    model_config = ConfigDict(title="file")

    file: Annotated[
        Annotated[_Path, Tag("string")] | Annotated[_Pair, Tag("array")], Discriminator(json_type)
    ] = Field(
        description=f"Path of the file, relative to that of the spec: {KINDS} of pictures by class "
        "or of Parquet files."
    )
    target: _ColumnOrColumns | None = Field(
        default=None,
        description="Column of the targets, several for a regression; the array in an .npz file, y "
        "by default.",
    )
    columns: _ColumnOrColumns | None = Field(
        default=None,
        description="Columns of the inputs, all others by default; the array in an .npz file, x by "
        "default.",
    )
    test: (
        Annotated[
            Annotated[_Share, Tag("number")]
            | Annotated[_Path, Tag("string")]
            | Annotated[_Pair, Tag("array")],
            Discriminator(_json_type),
        ]
        | None
    ) = Field(
        default=None,
        description="Share of the samples that is split off as test set, 0.2 unless the file has "
        "one; or the file, or pair of files, of the test set.",
    )
    seed: Seed = Field(default=0, description="Seed of the split.")
    normalise: Annotated[
        Annotated[
            Literal["per feature", "global", "none"], Field(title="normalisation"), Tag("string")
        ]
        | Annotated[MeanAndStd, Tag("object")],
        ByType,
    ] = Field(
        default="per feature",
        description="How inputs are standardised by the training set: each by itself, all together "
        "(pixels), not at all, or by a mean and a std.",
    )
    task: Annotated[Literal["classification", "regression"], Field(title="task")] | None = Field(
        default=None, description="What is learnt, where the targets do not say so."
    )
    name: Label = Field(
        default="data", description="What its name in the ledger begins with, before its digest."
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """The files and folders that it names."""
        places = (self.file, None if isinstance(self.test, float) else self.test)
        return tuple(
            path
            for place in places
            if place is not None
            for path in ([place] if isinstance(place, str) else place)
        )

    @property
    def normalisation(self) -> pccore.data.Normalise:
        """How inputs are standardised, as `Dataset.from_arrays` takes it."""
        if isinstance(self.normalise, MeanAndStd):
            return self.normalise.mean, self.normalise.std
        return None if self.normalise == "none" else self.normalise


@dataclass(frozen=True)
class FileDataset:
    """A data set that was read of a file.

    Attributes:
        section: what the spec says of it.
        data: its content.
    """

    section: FileSection
    data: Dataset = field(compare=False)


SpecDataset = str | FileDataset | Dataset


def info_of(dataset: SpecDataset) -> DatasetInfo:
    """Return the description of a data set of a spec."""
    return pccore.data.info(dataset) if isinstance(dataset, str) else own_data(dataset).info


def own_data(dataset: FileDataset | Dataset) -> Dataset:
    """Return the content of a data set of the user's own."""
    return dataset.data if isinstance(dataset, FileDataset) else dataset


def content_of(dataset: FileDataset | Dataset) -> dict[str, object]:
    """Return the name and the digest of a data set of the user's own, wherever it came from."""
    data = own_data(dataset)
    return {"name": data.name, "digest": data.digest}


def read_section(values: Mapping[str, object]) -> FileDataset:
    """Return the data set that a section with these keys describes.

    Raises:
        SpecError: a key is unknown or has a wrong value.
        DatasetError: what is wrong with the file.
    """
    try:
        section = FileSection.model_validate(values)
    except ValidationError as error:
        raise spec_error(error, FileSection) from None
    return _read(section)


def beside(values: object, folder: Path) -> object:
    """Return the values of a spec with the files of its data set as absolute paths.

    Args:
        values: as they were read of YAML.
        folder: that relative paths start from.
    """
    if not isinstance(values, Mapping) or not isinstance(values.get("dataset"), Mapping):
        return values
    dataset = dict(values["dataset"])
    for key in ("file", "test"):
        if isinstance(dataset.get(key), str):
            dataset[key] = str(Path(folder, dataset[key]).absolute())
        elif isinstance(dataset.get(key), list):
            dataset[key] = [
                str(Path(folder, each).absolute()) if isinstance(each, str) else each
                for each in dataset[key]
            ]
    return {**values, "dataset": dataset}


def _read_any(form: str | FileSection) -> str | FileDataset:
    return form if isinstance(form, str) else _read(form)


def _read(form: FileSection) -> FileDataset:
    data = read_dataset(
        form.file,
        target=form.target,
        columns=form.columns,
        test=form.test,
        seed=form.seed,
        normalise=form.normalisation,
        task=form.task,
        name=form.name,
    )
    return FileDataset(form, data)


def _write(dataset: SpecDataset) -> object:
    if isinstance(dataset, FileDataset):
        return dataset.section.model_dump(mode="json", exclude_defaults=True)
    return dataset if isinstance(dataset, str) else content_of(dataset)


def _or_own(value: object, read: ValidatorFunctionWrapHandler) -> object:
    """Take arrays and files that were read as they are; explain a path in place of a name."""
    if isinstance(value, Dataset | FileDataset):
        return value
    if isinstance(value, str) and value not in pccore.data.DATASETS and _is_path(value):
        raise RejectedError("must be the name of a data set, or {file: ...} for a file", value)
    if hasattr(value, "__array__") or isinstance(value, list | tuple):
        raise RejectedError(
            "must be the name of a data set, {file: ...}, or in Python a "
            "mupc.Dataset.from_arrays(x, y)",
            type(value),
        )
    return read(_with_paths_as_text(value))


def _with_paths_as_text(value: object) -> object:
    """Return the value of a key with `pathlib.Path` as strings, as YAML has them."""
    if isinstance(value, Mapping):
        return {key: _with_paths_as_text(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_with_paths_as_text(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def _is_path(text: str) -> bool:
    return "/" in text or Path(text).suffix != ""


DatasetField = Annotated[
    SpecDataset,
    ReadAs(
        Annotated[
            Annotated[str, NameIn(pccore.data.DATASETS), Tag("string")]
            | Annotated[FileSection, Tag("object")],
            ByType,
        ],
        _read_any,
        _write,
        (),
    ),
    WrapValidator(_or_own),
]
"""The name of a data set, a file of the user's own, or arrays."""
