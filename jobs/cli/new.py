"""`mupc new` and `mupc init`: a commented spec to begin with, and the examples."""

import os
import shutil
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from jobs.cli.datasets import availability
from jobs.cli.json_output import print_json
from jobs.cli.names import EXAMPLES
from jobs.cli.options import NewOptions
from jobs.cli.schema import schema_text
from jobs.cli.starter import Starter, label, write
from jobs.cli.terminal import say
from jobs.errors import CommandError
from pccore import data
from transfer.engine.plan import Plan
from transfer.spec.dataset import beside, info_of, read_section
from transfer.spec.errors import SpecError
from transfer.spec.model import Experiment
from transfer.spec.yaml import parse_yaml

SPEC, SCHEMA = "experiment.yaml", "schema.json"


def new_spec(options: NewOptions) -> None:
    """Write a commented spec, and print what comes next.

    Raises:
        CommandError: there is a file already, or `--data` names nothing.
        SpecError: no spec with these settings is valid.
    """
    place = options.file
    if place.exists() and not options.force:
        raise CommandError(f"{place} exists already: choose another name, or give --force")
    if not place.parent.is_dir():
        raise CommandError(f"there is no folder {place.parent}: make it first")
    text, experiment = _valid(options)
    place.write_text(text)
    if options.as_json:
        print_json("new", {"spec": str(place), "experiment": experiment.to_dict()})
        return
    tune = experiment.tune
    targets = ", ".join(f"{shape.width} x {shape.depth}" for shape in experiment.targets)
    variants = " and ".join(variant.name for variant in experiment.variants)
    say(
        f"wrote {place}: {variants} on {options.data}, tuned at {tune.width} x "
        f"{tune.depth} and transferred to {targets} (units x layers)"
    )
    name = experiment.dataset
    if isinstance(name, str) and availability(name, None) == "no":
        say(f"{name} is not on this machine yet: mupc datasets --fetch {name} downloads it")
    say(f"next: mupc plan {place} estimates the time, mupc run {place} runs it")


def init(folder: Path, *, examples: bool, force: bool, as_json: bool) -> None:
    """Write a first spec, the schema for editors and maybe the examples into a folder.

    Files that are there are kept unless `force` is set.
    """
    written, kept = [], []
    if examples and not EXAMPLES.is_dir():
        raise CommandError(f"the examples are not installed: there is no {EXAMPLES}")
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[Path, str | Path] = {Path(SCHEMA): f"{schema_text()}\n"}
    if examples:
        contents |= {
            Path("examples") / path.relative_to(EXAMPLES): path
            for path in sorted(EXAMPLES.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
    for name, content in contents.items():
        place = folder / name
        if place.exists() and not force:
            kept.append(str(place))
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, place)
        else:
            place.write_text(content)
        written.append(str(place))
    spec = folder / SPEC
    if spec.exists() and not force:
        kept.append(str(spec))
    else:
        text, _ = _valid(NewOptions(file=spec))
        spec.write_text(text)
        written.append(str(spec))
    if as_json:
        print_json("init", {"folder": str(folder), "written": written, "kept": kept})
        return
    copied = [path for path in written if Path(path).is_relative_to(folder / "examples")]
    for path in written:
        if path not in copied:
            say(f"wrote {path}")
    if copied:
        say(f"wrote {len(copied)} examples to {folder / 'examples'}")
    if kept:
        say(f"kept {', '.join(kept)}; --force overwrites")
    say(f"next: mupc run {spec}")


def _valid(options: NewOptions) -> tuple[str, Experiment]:
    """Return the first spec of the options that is valid, and its experiment.

    Not every variant and family takes every inference scheme, skip connections and transfer rules.

    Raises:
        SpecError: none is; the problem of the first.
    """
    starter = _starter(options)
    problem: SpecError | None = None
    for lagrangian in (True, False):
        for residual in (True, False):
            for ruled in (True, False):
                tried = replace(starter, lagrangian=lagrangian, residual=residual, ruled=ruled)
                text = write(tried)
                try:
                    return text, _checked(text, options.file.parent)
                except SpecError as error:
                    problem = problem or error
    assert problem is not None
    raise problem


def _checked(text: str, folder: Path) -> Experiment:
    experiment = Experiment.from_dict(beside(parse_yaml(text).value, folder))
    Plan(experiment, experiment.data, digest="").check()
    return experiment


def _starter(options: NewOptions) -> Starter:
    dataset = _dataset(options)
    info = _info(dataset, options.file.parent)
    return Starter(
        name=label(options.name or options.file.stem),
        dataset=dataset,
        task=info.task,
        train_size=info.train_size,
        family=options.network,
        activation=options.activation,
        variants=_listed(options.variants),
        width=options.width,
        depth=options.depth,
        depths=_depths(options),
        steps=options.steps,
        seeds=options.seeds,
        schema=SCHEMA if (options.file.parent / SCHEMA).exists() else None,
    )


def _depths(options: NewOptions) -> list[int]:
    """Return the depths of the targets: twice and four times the tuned one by default."""
    if options.depths is None:
        return [2 * options.depth, 4 * options.depth]
    try:
        return [int(each) for each in _listed(options.depths)]
    except ValueError:
        raise CommandError(
            "--depths must be whole numbers with commas between them, such as 16,32, "
            f"got {options.depths!r}"
        ) from None


def _dataset(options: NewOptions) -> str | dict[str, object]:
    """Return the data set by its name, or the section of a file, relative to the spec's folder.

    Raises:
        CommandError: there is neither.
    """
    if options.data in data.DATASETS:
        for name in ("target", "task"):
            if getattr(options, name) is not None:
                raise CommandError(f"--{name} is for files: {options.data} has its own")
        return options.data
    if not Path(options.data).exists():
        folder = Path(options.data).parent
        files = [str(path) for path in folder.iterdir()] if folder.is_dir() else []
        near = get_close_matches(options.data, [*data.DATASETS, *files], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise CommandError(
            f"--data {options.data!r} must be a file that exists or one of "
            f"{', '.join(data.DATASETS)}{hint}"
        )
    path = Path(options.data)
    if not path.is_absolute():
        path = Path(os.path.relpath(path, options.file.parent))
    target = _listed(options.target or "")
    section = {
        "file": str(path),
        "target": target[0] if len(target) == 1 else target or None,
        "task": options.task,
    }
    return {key: value for key, value in section.items() if value is not None}


def _info(dataset: str | dict[str, object], folder: Path) -> data.DatasetInfo:
    if isinstance(dataset, str):
        return data.info(dataset)
    absolute = beside({"dataset": dataset}, folder)
    assert isinstance(absolute, dict)
    return info_of(read_section(absolute["dataset"]))


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]
