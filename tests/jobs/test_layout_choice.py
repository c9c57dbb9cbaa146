"""Who decides about a layout: the config, the memory, a measurement that pays, else the rule."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pool_trainers import SMALL, collect_all, group

import jobs
import pccore
from jobs.errors import MeasuringError, SettingError
from jobs.pools import layout_choice, layout_tuner
from jobs.pools.devices import Device, default_device, describe
from jobs.pools.layout_choice import Choice, Source, choose, known_layout
from jobs.pools.layout_memory import Measurement, Trial, folder, recall, remember
from jobs.pools.layout_policy import LayoutPolicy, layout_policy
from jobs.pools.layout_tuner import COMPILE_SECONDS, PAYS, cost, measure, pays
from jobs.pools.layouts import Layout, default_layout
from jobs.pools.worker import Stopped, train_group

CPU = Device("cpu", "cpu", None)
FOUND = Measurement(Layout(1, 2, 1), (Trial("lanes", Layout(1, 2, 1), 0.1),))
DEEP = pccore.TrainingConfig(
    pccore.NetworkConfig(784, 10, 512, 128),
    pccore.PredictiveCoding(pccore.GradientDescent(128)),
    batch_size=64,
    steps=937,
)
SetPolicy = Callable[[str], None]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MUPC_LAYOUTS", raising=False)
    monkeypatch.setattr(layout_choice, "_hopeless", set())


@pytest.fixture
def set_policy(monkeypatch: pytest.MonkeyPatch) -> SetPolicy:
    return lambda policy: monkeypatch.setenv("MUPC_LAYOUTS", policy)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[pccore.TrainingConfig]:
    """What would have been measured; every measurement finds FOUND."""
    asked: list[pccore.TrainingConfig] = []

    def find(config: pccore.TrainingConfig, *_: object) -> Measurement:
        asked.append(config)
        return FOUND

    monkeypatch.setattr(layout_choice, "measure", find)
    return asked


def test_the_rule_decides_where_nothing_is_remembered(measured: list) -> None:
    assert choose(SMALL, CPU, lanes=4) == Choice(default_layout(SMALL, CPU), Source.DEFAULT)
    assert measured == []


def test_a_long_training_is_measured_and_remembered(measured: list) -> None:
    assert choose(DEEP, CPU, lanes=1) == Choice(FOUND.layout, Source.MEASURED, FOUND)
    assert choose(DEEP, CPU, lanes=1) == Choice(FOUND.layout, Source.REMEMBERED, FOUND)
    assert known_layout(DEEP, CPU).source is Source.REMEMBERED
    assert measured == [DEEP]


def test_measuring_must_pay() -> None:
    assert pays(DEEP, CPU, lanes=1)  # 2.8e14 multiply-adds: three quarters of an hour
    assert not pays(DEEP, CPU, lanes=0)
    assert not pays(replace(DEEP, steps=100), CPU, lanes=1)
    assert not pays(SMALL, CPU, lanes=132)
    longest = PAYS * cost(SMALL, CPU)
    assert longest > PAYS * COMPILE_SECONDS
    assert pays(replace(SMALL, steps=10**12), CPU, lanes=1)


def test_the_default_policy_neither_looks_nor_measures(
    measured: list, set_policy: SetPolicy
) -> None:
    remember(SMALL, CPU, FOUND)
    set_policy("default")
    for config in (SMALL, DEEP):
        choice = choose(config, CPU, lanes=1)
        assert choice == Choice(default_layout(config, CPU), Source.DEFAULT)
    assert measured == []


def test_the_measure_policy_measures_what_is_not_remembered(
    measured: list, set_policy: SetPolicy
) -> None:
    set_policy("measure")
    remember(SMALL, CPU, FOUND)
    assert choose(SMALL, CPU).source is Source.REMEMBERED
    other = replace(SMALL, batch_size=16)
    assert choose(other, CPU).source is Source.MEASURED
    assert measured == [other]


@pytest.mark.parametrize("policy", LayoutPolicy)
def test_what_a_config_says_itself_stands(
    measured: list, set_policy: SetPolicy, policy: str
) -> None:
    set_policy(policy)
    remember(SMALL, CPU, FOUND)
    config = Layout(1, 1, 2).apply(SMALL)
    choice = choose(config, CPU, lanes=1)
    assert choice.source is Source.GIVEN
    assert choice.layout.apply(config) == config
    assert choice.layout.lanes == default_layout(SMALL, CPU).lanes
    assert measured == []


def test_an_unknown_policy_is_a_sentence(set_policy: SetPolicy) -> None:
    set_policy("fast")
    with pytest.raises(
        SettingError, match=r"MUPC_LAYOUTS must be one of auto, default, measure, got 'fast'"
    ):
        jobs.LocalPool(1)
    set_policy("")
    assert layout_policy() is LayoutPolicy.AUTO


def test_threads_measure_a_shape_once(
    monkeypatch: pytest.MonkeyPatch, set_policy: SetPolicy
) -> None:
    set_policy("measure")
    begun, asked, sources = threading.Event(), [], []

    def find(*_: object) -> Measurement:
        asked.append(1)
        begun.wait(10)
        return FOUND

    monkeypatch.setattr(layout_choice, "measure", find)
    threads = [
        threading.Thread(target=lambda: sources.append(choose(SMALL, CPU).source)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    begun.set()
    for thread in threads:
        thread.join()
    assert len(asked) == 1
    assert sorted(sources) == [Source.MEASURED, *[Source.REMEMBERED] * 3]


def test_a_measurement_that_fails_leaves_the_rule_and_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, set_policy: SetPolicy
) -> None:
    set_policy("measure")
    monkeypatch.setattr(pccore, "fit_many", lambda *_, **__: 1 / 0)
    with pytest.warns(UserWarning, match="could not be measured: no layout of 2 x 8 could"):
        assert choose(SMALL, CPU).source is Source.DEFAULT
    assert choose(SMALL, CPU).source is Source.DEFAULT  # no second warning
    assert not folder().exists()


def test_layouts_that_do_not_fit_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU whose memory holds fewer lanes than the rule believes, fewer are chosen."""

    def fit_many(
        config: pccore.TrainingConfig,
        data: object,
        lanes: list,
        *,
        on_progress: Callable[[int], None],
    ) -> list[pccore.Outcome]:
        if len(lanes) > 66:
            raise RuntimeError("RESOURCE_EXHAUSTED")
        on_progress(config.eval_every)
        on_progress(config.steps)
        return [pccore.Outcome(pccore.Status.TRAINED, steps=config.steps)] * len(lanes)

    monkeypatch.setattr(pccore, "fit_many", fit_many)
    found = measure(SMALL, Device("gpu", "H100", 80 * 2**30))
    assert found.layout.lanes in (33, 66)
    failed = [trial.layout.lanes for trial in found.trials if trial.seconds is None]
    assert failed == [132]


def test_diverged_trainings_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """They end early, which looks fast."""

    def fit_many(
        config: pccore.TrainingConfig, *_: object, on_progress: Callable[[int], None]
    ) -> list[pccore.Outcome]:
        on_progress(1)
        return [pccore.Outcome(pccore.Status.DIVERGED, steps=1, diverged_step=1)]

    monkeypatch.setattr(pccore, "fit_many", fit_many)
    with pytest.raises(MeasuringError, match="no layout of 2 x 8 could be trained on cpu"):
        measure(SMALL, CPU)


def test_a_closing_pool_does_not_wait_for_a_measurement(
    monkeypatch: pytest.MonkeyPatch, set_policy: SetPolicy
) -> None:
    set_policy("measure")
    monkeypatch.setattr(pccore, "fit_many", lambda *_, on_progress: on_progress(7))

    def stop(steps_done: int) -> None:
        assert steps_done == 0
        raise Stopped

    with pytest.raises(Stopped):
        train_group(group("g"), on_progress=stop)
    assert not folder().exists()


def test_a_worker_trains_in_the_remembered_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    device = describe(default_device())
    remember(SMALL, device, Measurement(Layout(3, 2, 1), ()))
    seen: list[pccore.TrainingConfig] = []

    def fit_many(config: pccore.TrainingConfig, *_: object, **__: object) -> list[pccore.Outcome]:
        seen.append(config)
        return [pccore.Outcome(pccore.Status.TRAINED)]

    monkeypatch.setattr(pccore, "fit_many", fit_many)
    submitted = group("g")
    result = train_group(submitted)
    assert seen == [Layout(1, 2, 1).apply(SMALL)]
    assert result.group == submitted


def test_a_pool_measures_and_trains_the_same(
    monkeypatch: pytest.MonkeyPatch, set_policy: SetPolicy
) -> None:
    set_policy("measure")
    monkeypatch.setattr(layout_tuner, "TURNS_SECONDS", 0.0)
    submitted = group("real", (3, 4))
    with jobs.LocalPool(1) as pool:
        device = pool.device
        lanes = pool.lanes(SMALL)
        pool.submit(submitted)
        (trained,) = collect_all(pool, 1)
    found = recall(SMALL, device)
    assert found is not None
    assert lanes == found.layout.lanes
    assert {trial.layout.lanes for trial in found.trials} == {1, 4, 12}
    assert all(trial.seconds is not None and trial.seconds > 0 for trial in found.trials)
    assert trained.group == submitted
    direct = pccore.fit_many(SMALL, pccore.data.load("digits"), submitted.lanes)
    for ours, theirs in zip(trained.outcomes, direct, strict=True):
        np.testing.assert_allclose(ours.curve.train_loss, theirs.curve.train_loss, rtol=1e-4)
