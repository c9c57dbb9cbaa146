"""User errors print one sentence to stderr, exit with status 2 and write nothing."""

import gzip
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from command import TINY, write_spec

import results
from jobs.cli.main import main


def tune(**changes: object) -> dict[str, object]:
    return {"tune": {**TINY["tune"], **changes}}


# Changes to the spec, and words that the sentence must contain.
SPECS: dict[str, tuple[dict[str, object], list[str]]] = {
    "unknown key": ({"datset": "digits"}, ["datset", "dataset"]),
    "unknown data set": ({"dataset": "digit"}, ["digit", "digits"]),
    "unknown activation": ({"network": {"activation": "rellu"}}, ["rellu", "relu"]),
    "unknown variant": ({"variants": ["mupcc"]}, ["mupcc", "mupc"]),
    "unknown sampler": (tune(sampler="gird"), ["gird", "grid"]),
    "unknown optimiser": (
        {"training": {"steps": 5, "optimiser": "adm"}},
        ["adm", "adam"],
    ),
    "zero width": (tune(width=0), ["tune.width", "0"]),
    "text for a number": (tune(depth="two"), ["tune.depth", "two"]),
    "negative rate": (tune(weight_lr=[0.1, -0.1]), ["weight_lr", "-0.1"]),
    "empty grid": (tune(weight_lr=[]), ["weight_lr"]),
    "no seeds": (tune(seeds=0), ["seeds", "0"]),
    "no steps": ({"training": {"batch_size": 64}}, ["epochs", "steps"]),
    "batch larger than the data": (
        {"training": {"batch_size": 5000, "steps": 5}},
        ["batch_size", "5,000", "1,442"],
    ),
    "zero depth at the target": ({"transfer": {"depths": [0]}}, ["depths", "0"]),
    "missing data": ({"dataset": "mnist"}, ["mnist", "--data-dir"]),
    "missing section": ({"tune": None}, ["tune"]),
    "exact inference of a nonlinear network": (
        {
            "network": {"activation": "tanh"},
            "training": {"steps": 5, "inference": {"scheme": "exact"}},
            "tune": {k: v for k, v in TINY["tune"].items() if k != "activity_lr"},
        },
        ["mupc cannot be trained", "linear", "tanh"],
    ),
}

# Arguments, and words of the sentence; {spec} is a valid spec, {folder} is from `surroundings`.
ARGUMENTS: dict[str, tuple[str, list[str]]] = {
    "unknown command": ("runn {spec}", ["runn"]),
    "no spec": ("run", ["SPEC"]),
    "spec that is not there": ("run nowhere.yaml", ["nowhere.yaml"]),
    "spec that is a folder": ("run {folder}/foreign", ["foreign"]),
    "spec that is empty": ("run {folder}/empty", ["spec", "mapping"]),
    "spec that is no YAML": ("run {folder}/broken", ["broken"]),
    "unknown option": ("run {spec} --worker 2", ["--worker"]),
    "no workers": ("run {spec} --workers 0", ["--workers", "0"]),
    "workers in words": ("run {spec} --workers two", ["--workers", "two"]),
    "unknown pool": ("run {spec} --pool rey", ["--pool", "rey", "local", "ray"]),
    "address without Ray": ("run {spec} --address auto", ["--address", "--pool ray"]),
    "unknown layouts": (
        "run {spec} --layouts fast",
        ["--layouts", "fast", "default", "measured"],
    ),
    "layouts of no spec": ("layouts nowhere.yaml", ["nowhere.yaml"]),
    "layouts of a bad spec": ("layouts {folder}/empty", ["spec", "mapping"]),
    "layouts for no workers": ("layouts {spec} --workers 0", ["--workers", "0"]),
    "damaged data": (
        "run {folder}/mnist.yaml --data-dir {folder}/damaged",
        ["train-images", "damaged"],
    ),
    "ledger that is a file": ("run {spec} --ledger {folder}/empty", ["empty"]),
    "ledger that is a foreign folder": ("run {spec} --ledger {folder}/foreign", ["foreign"]),
    "report below a file": ("run {spec} --report {folder}/empty/report", ["report", "empty"]),
    "no ledger to ask": ("results --ledger nowhere", ["nowhere"]),
    "foreign ledger to ask": ("results --ledger {folder}/foreign", ["foreign"]),
    "filter without a value": ("results --ledger {ledger} --where depth", ["depth", "="]),
    "filter on no column": ("results --ledger {ledger} --where dept=2", ["dept", "depth"]),
    "filter of another type": (
        "results --ledger {ledger} --where depth=deep",
        ["depth", "deep", "integer"],
    ),
    "filter with half a layer": ("results --ledger {ledger} --where depth=1.5", ["depth", "1.5"]),
    "filter with no such outcome": (
        "results --ledger {ledger} --where outcome=divreged",
        ["divreged", "diverged"],
    ),
    "filter by no operator": ("results --ledger {ledger} --where depth~3", ["depth~3", "<="]),
    "null is not less": ("results --ledger {ledger} --where depth<null", ["null", "!="]),
    "like a number": ("results --ledger {ledger} --where 'depth like 3'", ["texts"]),
    "sort by no column": ("results --ledger {ledger} --sort dept", ["--sort", "dept", "depth"]),
    "no select": ("sql delete --ledger {ledger}", ["one SELECT"]),
    "no such table in SQL": (
        "sql 'select * from walks' --ledger {ledger}",
        ["walks", "does not exist"],
    ),
    "no ledger for SQL": ("sql x --ledger nowhere", ["nowhere"]),
    "no such experiment": ("diff one two --ledger {ledger}", ["one", "verdicts"]),
    "no such column": ("results --ledger {ledger} --columns dept", ["dept", "depth"]),
    "two formats": ("results --ledger {ledger} --json --csv", ["--json", "--csv"]),
    "older runs": ("results --ledger {ledger} --older", ["--older", "verdicts", "not runs"]),
    "no such table": ("results --ledger {ledger} --table run", ["--table", "run"]),
    "no rows wanted": ("results --ledger {ledger} --limit 0", ["--limit", "0"]),
    "no ledger to draw": ("report --ledger nowhere", ["nowhere"]),
    "nothing to draw": ("report --ledger {ledger}", ["no runs"]),
    "report into a file": ("report --ledger {ledger} --out {folder}/empty", ["empty"]),
    "spec left out": ("run", ["Missing argument 'SPEC'", "`mupc run --help` explains it"]),
    "no such spec": ("run mine.yaml", ["no file mine.yaml", "`mupc new mine.yaml` writes one"]),
    "no examples": ("plan examples/digits.yaml", ["`mupc init --examples` copies"]),
    "another spec": ("layouts {folder}/mnst.yaml", ["mnst.yaml", "did you mean", "/mnist.yaml'?"]),
    "no such data set": ("datasets --fetch minst", ["minst", "mnist"]),
}


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of unusable files, and an empty current folder next to it."""
    folder, here = tmp_path / "things", tmp_path / "here"
    for made in (here, folder / "foreign", folder / "damaged" / "mnist"):
        made.mkdir(parents=True)
    (folder / "foreign" / "photo.jpg").write_bytes(b"\xff\xd8")
    (folder / "empty").touch()
    (folder / "broken").write_text("name: [")
    write_spec(folder, dataset="mnist").rename(folder / "mnist.yaml")
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        path = folder / "damaged" / "mnist" / f"{name}-ubyte.gz"
        path.write_bytes(gzip.compress(b"not images"))
    results.open(str(folder / "ledger"), create=True)
    monkeypatch.chdir(here)
    monkeypatch.delenv("MUPC_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def refuse(arguments: Iterable[str], named: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Run the command line and check that it fails with a sentence that contains `named`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mupc", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    out, err = capsys.readouterr()
    assert end.value.code == 2, err
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert err.startswith("mupc: ")
    for name in named:
        assert name in err
    assert not list(Path.cwd().iterdir()), "something was left behind"


@pytest.mark.parametrize(("changes", "named"), SPECS.values(), ids=SPECS.keys())
def test_rejects_invalid_spec(
    surroundings: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    named: list[str],
) -> None:
    spec = write_spec(surroundings, **changes)
    data = surroundings / "foreign"
    refuse(["run", str(spec), "--data-dir", str(data)], named, capsys)


@pytest.mark.parametrize(("arguments", "named"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_rejects_invalid_arguments(
    surroundings: Path, capsys: pytest.CaptureFixture[str], arguments: str, named: list[str]
) -> None:
    places = {
        "spec": write_spec(surroundings),
        "folder": surroundings,
        "ledger": surroundings / "ledger",
    }
    refuse([word.format(**places) for word in shlex.split(arguments)], named, capsys)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_sampler_that_needs_a_missing_package(
    command: str,
    surroundings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("transfer.search.samplers.find_spec", lambda name: None)
    spec = write_spec(surroundings, **tune(sampler="gp", trials=4))
    sentence = "tune.sampler gp needs torch, which is not installed: pip install torch"
    refuse([command, str(spec)], [sentence], capsys)


def test_bugs_keep_their_traceback(surroundings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(path: Path) -> None:
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr("transfer.load", bug, raising=False)
    monkeypatch.setattr(sys, "argv", ["mupc", "run", str(write_spec(surroundings))])
    with pytest.raises(ValueError, match="broadcast"):
        main()
