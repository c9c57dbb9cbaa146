"""`mupc datasets`: the data sets and which are available on this machine, or what a file has."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs.cli.json_output import print_json
from jobs.cli.tables import plain_table, screen, shown_folder
from jobs.cli.terminal import say
from jobs.errors import CommandError
from pccore import data
from transfer.spec.dataset import read_section

MOST_CLASSES = 10  # whose samples are counted on the screen


@dataclass(frozen=True)
class FileOptions:
    """Options of `mupc datasets FILE`: keys of the section `dataset` of a spec."""

    target: list[str]
    columns: list[str]
    test: list[str]
    normalise: str | None
    task: str | None

    def section(self, files: Sequence[Path]) -> dict[str, object]:
        """Return the section of a spec that reads these files.

        Raises:
            CommandError: more than two files.
        """
        if len(files) > 2:
            raise CommandError(f"give one file, or one of inputs and one of targets: {len(files)}")
        values = {
            "file": _one_or_all([str(file) for file in files]),
            "target": _one_or_all(self.target),
            "columns": _one_or_all(self.columns),
            "test": _one_or_all([_share_or_path(each) for each in self.test]),
            "normalise": self.normalise,
            "task": self.task,
        }
        return {key: value for key, value in values.items() if value is not None}


def show_file(files: Sequence[Path], options: FileOptions, *, as_json: bool) -> None:
    """Print what the data set in files of the user's own has, and how a spec names it.

    Raises:
        CommandError: the option of a key has a wrong value.
        DatasetError: what is wrong with the files.
    """
    section = options.section(files)
    own = read_section(section).data
    facts = {**file_facts(own), "spec": {"dataset": section}}
    if as_json:
        print_json("datasets", facts)
        return
    for name, value in facts.items():
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else value
        if name == "class_sizes":
            shown = _counted(own)
        if shown is not None:
            say(f"{name:<12} {shown}")


def file_facts(own: data.Dataset) -> dict[str, object]:
    """Return the properties of a data set of the user's own, by name."""
    info = own.info
    sizes = None
    if own.task == "classification":
        sizes = np.bincount(own.train_y, minlength=own.output_size).tolist()
    return {
        "name": info.name,
        "task": info.task,
        "input_size": info.input_size,
        "output_size": info.output_size,
        "train_size": info.train_size,
        "test_size": info.test_size,
        "class_sizes": sizes,
        "digest": own.digest,
        "description": info.description,
    }


def _counted(own: data.Dataset) -> str | None:
    """Return the training samples of the classes in words."""
    if own.task != "classification":
        return None
    counts = np.bincount(own.train_y, minlength=own.output_size)
    if len(counts) > MOST_CLASSES:
        return f"{counts.min()} to {counts.max()} training samples"
    return f"{', '.join(map(str, counts))} training samples"


def _one_or_all(values: Sequence[object]) -> object:
    return None if not values else values[0] if len(values) == 1 else list(values)


def _share_or_path(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def list_datasets(data_dir: Path | None, *, as_json: bool) -> None:
    """Print every data set and whether `mupc run` would find it."""
    facts = [dataset_facts(name, data_dir) for name in data.DATASETS]
    folder = shown_folder(lambda: data.directory(data_dir))
    if as_json:
        print_json("datasets", {"data_dir": folder, "datasets": facts})
        return
    names = ("name", "task", "inputs", "outputs", "training", "test", "available", "description")
    table = plain_table(names, text=("name", "task", "available", "description"))
    for fact in facts:
        table.add_row(*(str(value) for value in fact.values()))
    console = screen()
    console.print(table)
    console.print(
        f"folder of the data sets: {folder or 'none, as this user has no home'}", soft_wrap=True
    )


def dataset_facts(name: str, data_dir: Path | None) -> dict[str, str | int]:
    """Return the properties of a data set; `available` is "embedded", "yes" or "no"."""
    info = data.info(name)
    return {
        "name": name,
        "task": info.task,
        "input_size": info.input_size,
        "output_size": info.output_size,
        "train_size": info.train_size,
        "test_size": info.test_size,
        "available": availability(name, data_dir),
        "description": info.description,
    }


def availability(name: str, data_dir: Path | None) -> str:
    """Return whether a data set can be loaded: "embedded", "yes" or "no"."""
    if data.info(name).embedded:
        return "embedded"
    try:
        data.find(name, data_dir)
    except data.DatasetError:
        return "no"
    return "yes"


def fetch_dataset(name: str, data_dir: Path | None, *, as_json: bool) -> None:
    """Download a data set and print the paths of its files."""
    files = data.fetch(name, data_dir)
    if as_json:
        print_json("datasets", {"name": name, "files": [str(file) for file in files]})
        return
    print("\n".join(map(str, files)) if files else f"{name} is embedded: nothing to fetch")
