"""`mupc new` and `mupc init`: what they write is a spec, with comments, that runs."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from command import called, mupc

import mupc as package
import transfer
from pccore.data import DATASETS
from transfer.engine.plan import Plan
from transfer.spec.families import FAMILIES
from transfer.spec.sections import NetworkSpec
from transfer.spec.variants import VARIANTS

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ["--width", "4", "--depth", "2"]


def written(folder: Path, *options: str) -> transfer.Experiment:
    """Write a spec with these options and return its experiment, which can be planned."""
    done = mupc(folder, "new", "a.yaml", *options)
    assert done.returncode == 0, done.stderr
    experiment = transfer.load(folder / "a.yaml")
    Plan(experiment, experiment.data, digest="").check()
    return experiment


def test_every_key_has_a_comment(tmp_path: Path) -> None:
    written(tmp_path)
    lines = (tmp_path / "a.yaml").read_text().splitlines()
    uncommented = [
        line.split(":")[0].strip()
        for before, line in pairwise(lines)
        if "#" not in line and not before.strip().startswith("#")
    ]
    assert uncommented == ["batch_size"]
    assert max(map(len, lines)) <= 100


SPECIAL = ("mupc", "pc", "hybrid", "equilibrium_propagation")
"""Variants whose convolutional networks `make test` looks at; most have rules of their own."""


@pytest.mark.parametrize(
    ("variant", "family"),
    [
        pytest.param(
            variant,
            family,
            marks=[] if family == "stacked" or variant in SPECIAL else [pytest.mark.slow],
        )
        for variant in VARIANTS
        for family in FAMILIES
    ],
)
def test_each_variant_and_family_gets_a_spec_or_one_sentence(
    variant: str, family: str, tmp_path: Path
) -> None:
    """Equilibrium propagation has no skip connections, hybrid PC no augmented Lagrangian, and `pc`
    trains layers of the user's own."""
    done = mupc(tmp_path, "new", "--variants", variant, "--network", family, *SMALL)
    if done.returncode:
        assert family != "stacked" or variant == "pc"
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert not list(tmp_path.iterdir())
        return
    experiment = transfer.load(tmp_path / "experiment.yaml")
    Plan(experiment, experiment.data, digest="").check()
    assert experiment.name == "experiment"
    assert [each.name for each in experiment.variants] == [variant]
    assert experiment.network.family == FAMILIES[family]()


@pytest.mark.parametrize("name", DATASETS)
def test_each_data_set_gets_a_spec(name: str, tmp_path: Path) -> None:
    assert written(tmp_path, "--data", name).dataset == name


def test_options_are_in_the_spec(tmp_path: Path) -> None:
    sizes = ["--width", "6", "--depth", "3", "--depths", "5, 7", "--steps", "9", "--seeds", "2"]
    found = written(tmp_path, *sizes, "--activation", "tanh", "--name", "mine", "--variants", "sp")
    assert (found.name, found.network.activation) == ("mine", ("tanh",))
    assert (found.tune.width, found.tune.depth, found.tune.seeds) == (6, 3, (0, 1))
    assert [shape.depth for shape in found.targets] == [5, 7]
    assert found.steps == 9
    assert NetworkSpec().residual is found.network.residual is True


def test_file_of_the_users_own_is_found_from_the_folder_of_the_spec(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i * i % 7},{'even' if i % 2 else 'odd'}\n" for i in range(40))
    (tmp_path / "my data.csv").write_text(f"a,b,no\n{rows}")
    (tmp_path / "specs").mkdir()
    options = ["--data", "my data.csv", "--target", "no", *SMALL]
    done = mupc(tmp_path, "new", "specs/own.yaml", *options)
    assert done.returncode == 0, done.stderr
    text = yaml.safe_load((tmp_path / "specs" / "own.yaml").read_text())
    assert text["dataset"] == {"file": "../my data.csv", "target": "no"}
    experiment = transfer.load(tmp_path / "specs" / "own.yaml")
    assert experiment.training.batch_size == experiment.data.train_size == 32
    assert "own on" not in done.stdout
    assert "mupc on my data.csv, tuned at 4 x 2" in done.stdout


def test_a_table_without_a_target_says_which_option_names_it(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(12)]
    (tmp_path / "own.csv").write_text(",".join([*names, "kind"]) + "\n" + "1," * 12 + "a\n")
    done = mupc(tmp_path, "new", "--data", "own.csv")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "m8, ..., kind; the option of commands is --target" in done.stderr


def test_a_misspelt_file_is_one_sentence_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "wines.csv").write_text("a,y\n1,u\n")
    done = mupc(tmp_path, "new", "--data", "wine.csv")
    assert done.returncode == 2
    assert done.stderr.endswith("did you mean 'wines.csv'?\n")


def test_targets_that_are_numbers_need_the_task(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i / 7}\n" for i in range(40))
    (tmp_path / "own.csv").write_text(f"a,y\n{rows}")
    options = ["--data", "own.csv", "--target", "y", *SMALL]
    refused = mupc(tmp_path, "new", *options)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "task" in refused.stderr
    done = mupc(tmp_path, "new", "own.yaml", *options, "--task", "regression")
    assert done.returncode == 0, done.stderr
    assert transfer.load(tmp_path / "own.yaml").data.task == "regression"


def test_it_runs(tmp_path: Path, empty_reports: None) -> None:
    written(
        tmp_path, *SMALL, "--depths", "3", "--steps", "20", "--seeds", "1", "--variants", "mupc"
    )
    done = mupc(tmp_path, "run", "a.yaml")
    assert done.returncode == 0, done.stderr
    assert "Did the optimum transfer?" in done.stdout
    assert len(package.open(tmp_path / "runs").verdicts()) == 2


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("mine")
    done = mupc(tmp_path, "new", "a.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a.yaml exists already: choose another name, or give --force" in done.stderr
    assert (tmp_path / "a.yaml").read_text() == "mine"
    assert written(tmp_path, "--force").name == "a"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "digit"], r"--data 'digit' must be a file that exists .* mean 'digits'\?"),
        (["--data", "digits", "--target", "y"], "--target is for files: digits has its own"),
        (["--data", "digits", "--task", "regression"], "--task is for files"),
        (["--network", "stackd"], "unknown family of networks 'stackd'.*mean 'stacked'"),
        (["--activation", "rlu"], "'rlu'.*did you mean 'relu'"),
        (["--variants", "mupk"], "'mupk'.*did you mean 'mupc'"),
        (["--variants", ""], "variants"),
        (["--depths", "8,x"], "--depths must be whole numbers .* got '8,x'"),
        (["--width", "0"], "--width.*must be a whole number of at least 1, got '0'"),
        (["no/where.yaml"], "there is no folder no: make it first"),
        (["--name", "x y"], None),
    ],
)
def test_wrong_options_are_one_sentence(
    options: list[str],
    message: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    done = called(capsys, "new", *options)
    if message is None:  # a name for the ledger is made of it
        assert transfer.load("experiment.yaml").name == "x-y"
        return
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert re.search(message, done.stderr)
    assert not list(tmp_path.iterdir())


def test_init_copies_every_example_and_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("mine")
    done = mupc(tmp_path, "init", "--examples")
    assert done.returncode == 0, done.stderr
    assert "kept experiment.yaml; --force overwrites" in done.stdout
    assert re.search(r"^wrote \d\d examples to examples$", done.stdout, re.MULTILINE)
    assert (tmp_path / "experiment.yaml").read_text() == "mine"
    for path in EXAMPLES.rglob("*.*"):
        if "__pycache__" not in path.parts:
            copy = tmp_path / "examples" / path.relative_to(EXAMPLES)
            assert copy.read_bytes() == path.read_bytes()
    assert (tmp_path / "schema.json").read_text() == (EXAMPLES / "schema.json").read_text()
    assert mupc(tmp_path, "init", "--force").returncode == 0
    first = (tmp_path / "experiment.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=schema.json"
