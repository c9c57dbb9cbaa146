"""The specs in examples/ load, and need the number of runs that their settings multiply to."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

import pccore
import transfer
from transfer.engine.plan import Plan
from transfer.search.samplers import SAMPLERS
from transfer.spec.modes import MODES
from transfer.spec.sections import NetworkSpec, TrainingSpec, TuneSpec
from transfer.spec.targets import TransferSpec
from transfer.spec.transfer_rules import TRANSFER_RULES

EXAMPLES = Path(__file__).parents[2] / "examples"


def plan(name: str) -> Plan:
    experiment = transfer.load(EXAMPLES / f"{name}.yaml")
    return Plan(experiment, experiment.data, digest="0" * 64)


REFERENCE = (EXAMPLES.parent / "docs" / "spec.md").read_text()


def test_spec_of_the_reference_names_every_variant_and_can_be_built() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.S)
    experiment = transfer.Experiment.from_yaml(block)
    others = {"trust_region", "pc"}  # at most 3,000 weights; layers of one's own
    names = {variant.name for variant in experiment.variants}
    assert names | others == set(transfer.VARIANTS)
    Plan(experiment, pccore.data.info(experiment.dataset), digest="0" * 64).check()


@pytest.mark.parametrize(
    "names",
    [
        NetworkSpec.model_fields,
        TrainingSpec.model_fields,
        TuneSpec.model_fields,
        TransferSpec.model_fields,
        MODES,
        pccore.ACTIVATIONS,
        pccore.INFERENCE,
        pccore.STARTS,
        pccore.PENALTIES,
        pccore.OPTIMISERS,
        pccore.OUTPUTS,
        pccore.data.DATASETS,
        transfer.VARIANTS,
        SAMPLERS,
        TRANSFER_RULES,
    ],
)
def test_reference_names_every_key_and_every_value(names: Iterable[str]) -> None:
    assert set(names) - set(re.findall(r"\w+", REFERENCE)) == set()


def full_grid(name: str) -> Counter[str]:
    """Count the different runs of every variant with all its cells at every shape."""
    job = plan(name)
    shapes = {job.experiment.tune.shape, *job.experiment.targets}
    ids = {
        (run.variant, run.run_id)
        for arm in job.arms
        for shape in shapes
        for run in job.runs(arm, shape, arm.space.cells)
    }
    return Counter(variant for variant, _ in ids)


def test_thesis_takes_3564_runs_of_mupc() -> None:
    assert plan("thesis").experiment.transfer.neighbourhood == "all"
    # 4 x 11 cells, 3 seeds, 9 shapes, 3 activations (FACTS: "3,564 runs").
    assert full_grid("thesis") == {"mupc": 3564, "sp": 3564, "bp": 9 * 3 * 9 * 3}


def test_thesis_trains_for_one_epoch() -> None:
    experiment = plan("thesis").experiment
    assert experiment.steps == 60_000 // 64
    assert {shape.width for shape in experiment.targets if shape.depth == 8} == {
        2**i for i in range(6, 11)
    }
    assert {shape.depth for shape in experiment.targets if shape.width == 512} == {
        2**i for i in range(3, 8)
    }


@pytest.mark.parametrize("name", ["descent", "mnist-descent"])
def test_small_examples_search_the_grid_of_the_thesis(name: str) -> None:
    job = plan(name)
    arms = {arm.variant.name: arm for arm in job.arms}
    assert set(arms) == {"mupc", "sp", "bp"}
    small = job.experiment.tune.shape
    counts = {variant: len(job.runs(arm, small, arm.space.cells)) for variant, arm in arms.items()}
    assert counts == {"mupc": 4 * 11 * 3, "sp": 4 * 11 * 3, "bp": 9 * 3}
    assert [shape.depth for shape in job.experiment.targets] == [16, 32, 64, 128]
    assert {shape.width for shape in job.experiment.targets} == {small.width}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_example_loads_and_can_be_built(path: Path) -> None:
    job = plan(path.stem)
    job.check()
    deepest = {"convolutional": 33, "generative": 16, "seeds": 12, "unsupervised": 4}.get(
        path.stem, 128
    )
    assert max(shape.depth for shape in job.experiment.targets) == deepest
