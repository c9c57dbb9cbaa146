"""The measurement of layouts: what is tried, what counts, and which candidate is chosen."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_trainers import SMALL
from test_layouts import CPU, DESCENT, GPU, RANDOM_START, config

import pccore
from jobs.errors import MeasuringError
from jobs.pools import layout_measurement
from jobs.pools.devices import Device
from jobs.pools.layout_measurement import KNOBS, has_candidates, measure_layout
from jobs.pools.layouts import Layout, default_layout

devices = st.sampled_from([CPU, replace(CPU, count=2), replace(CPU, count=3), GPU])
trainings = st.builds(
    config,
    depth=st.integers(1, 40),
    width=st.integers(1, 300),
    rule=st.sampled_from([DESCENT, RANDOM_START, pccore.Backpropagation()]),
    skip=st.integers(1, 2),
)


@given(training=trainings, device=devices)
def test_every_candidate_suits_the_training(
    training: pccore.TrainingConfig, device: Device
) -> None:
    assert set(KNOBS) == {field.name for field in fields(Layout)}
    default = default_layout(training, device)
    default.apply(training)
    for knob, values in KNOBS.items():
        tried = values(training, device)
        assert len(set(tried)) == len(tried) <= 3
        for value in tried:
            laid_out = replace(default, **{knob: value}).apply(training)
            assert laid_out.batch_shards <= device.count


def test_batches_are_split_only_over_parts_of_a_cpu() -> None:
    shards = KNOBS["batch_shards"]
    assert shards(config(), CPU) == (1,)
    assert shards(config(), replace(CPU, count=2)) == (1, 2)
    assert shards(config(), replace(CPU, count=3)) == (1,)  # 3 does not divide 64
    assert shards(config(rule=RANDOM_START), replace(CPU, count=2)) == (1,)


def test_other_networks_and_rules_have_no_candidates() -> None:
    network = pccore.NetworkConfig(64, 10, 8, 1, residual=False)
    hopfield = pccore.TrainingConfig(
        pccore.HopfieldConfig(network),  # type: ignore[arg-type]
        pccore.EquilibriumPropagation(pccore.GradientDescent(4)),
    )
    for training in (hopfield, config(rule=RANDOM_START)):
        assert not has_candidates(training, CPU)
    assert has_candidates(config(), CPU)


class Machine:
    """A clock, and a training on it whose weight update takes `seconds(config, lanes)`."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        seconds: Callable[[pccore.TrainingConfig, int], float],
    ) -> None:
        self.now = 0.0
        self.seconds = seconds
        monkeypatch.setattr(pccore, "fit_many", self.fit_many)

    def clock(self) -> float:
        return self.now

    def fit_many(
        self,
        config: pccore.TrainingConfig,
        data: object,
        lanes: Sequence[pccore.Lane],
        *,
        on_progress: Callable[[int], None],
    ) -> None:
        self.now += 3.0
        for done in range(1, config.steps + 1):
            self.now += self.seconds(config, len(lanes))
            if done % config.eval_every == 0 or done == config.steps:
                on_progress(done)
                self.now += 0.1


@pytest.mark.parametrize(
    ("per_lane", "expected"),
    [
        ({1: 1.0, 4: 0.90, 12: 0.80}, 12),
        ({1: 0.94, 4: 1.0, 12: 1.1}, 1),
        ({1: 0.96, 4: 1.0, 12: 1.1}, 4),  # faster than the rule's, but not by the margin
    ],
)
def test_fastest_number_of_lanes_is_chosen(
    monkeypatch: pytest.MonkeyPatch, per_lane: dict[int, float], expected: int
) -> None:
    machine = Machine(monkeypatch, lambda config, lanes: lanes * per_lane[lanes])
    found = measure_layout(replace(SMALL, rule=pccore.Backpropagation()), CPU, machine.clock)
    assert found.layout == Layout(expected)
    assert [candidate.layout.lanes for candidate in found.candidates] == [4, 1, 12]
    seconds = {c.layout.lanes: c.seconds for c in found.candidates}
    assert seconds == pytest.approx(per_lane)


def test_knobs_are_chosen_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(config: pccore.TrainingConfig, lanes: int) -> float:
        return {0: 2.0, 2: 1.5, 4: 1.0}[config.network.layers_per_product] * lanes**0.5

    machine = Machine(monkeypatch, seconds)
    found = measure_layout(
        replace(SMALL, network=replace(SMALL.network, depth=8)), CPU, machine.clock
    )
    assert found.layout == Layout(12, 4)
    assert [(c.knob, c.layout) for c in found.candidates] == [
        ("layers_per_product", Layout(4, 0)),
        ("layers_per_product", Layout(4, 2)),
        ("layers_per_product", Layout(4, 4)),
        ("lanes", Layout(4, 4)),
        ("lanes", Layout(1, 4)),
        ("lanes", Layout(12, 4)),
    ]


def test_layouts_that_do_not_fit_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU whose memory holds fewer lanes than the rule assumes, fewer are chosen."""

    def seconds(config: pccore.TrainingConfig, lanes: int) -> float:
        if lanes > 66:
            raise RuntimeError("RESOURCE_EXHAUSTED")
        return 1e-3

    machine = Machine(monkeypatch, seconds)
    found = measure_layout(SMALL, Device("gpu", "H100", 80 * 2**30), machine.clock)
    assert found.layout.lanes == 66
    failed = [c.layout.lanes for c in found.candidates if c.seconds is None]
    assert failed == [132]


def test_diverged_trainings_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """They end early, which looks fast."""

    def fit_many(*_: object, on_progress: Callable[[int], None]) -> None:
        on_progress(1)

    monkeypatch.setattr(pccore, "fit_many", fit_many)
    with pytest.raises(MeasuringError, match="no layout of 2 x 8 could be trained on cpu"):
        measure_layout(SMALL, CPU)


@pytest.mark.slow
def test_real_trainings_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_measurement, "ROUNDS_SECONDS", 0.0)
    monkeypatch.setattr(layout_measurement, "TIMED_SECONDS", 1e-4)
    found = measure_layout(SMALL, CPU)
    assert {candidate.layout.lanes for candidate in found.candidates} == {1, 4, 12}
    assert found.layout in [candidate.layout for candidate in found.candidates]
