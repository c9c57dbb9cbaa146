"""`mupc datasets`: the data sets and which of them are available on this machine."""

import json
from pathlib import Path

from jobs.cli.tables import plain_table, screen, shown_folder
from pccore import data


def list_datasets(data_dir: Path | None, *, as_json: bool) -> None:
    """Print every data set and whether `mupc run` would find it."""
    facts = [dataset_facts(name, data_dir) for name in data.DATASETS]
    folder = shown_folder(lambda: data.directory(data_dir))
    if as_json:
        print(json.dumps({"data_dir": folder, "datasets": facts}, indent=2))
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


def fetch_dataset(name: str, data_dir: Path | None) -> None:
    """Download a data set and print the paths of its files."""
    files = data.fetch(name, data_dir)
    print("\n".join(map(str, files)) if files else f"{name} is embedded: nothing to fetch")
