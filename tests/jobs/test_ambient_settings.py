"""The same run id gives the same bits, whatever the settings of JAX around a pool are."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from pool_trainers import SMALL, MakePool, collect_all, group

import pccore
import transfer
from jobs import LocalPool
from jobs.pools import environment
from pccore import Lane, Outcome, Status
from pccore.jax_settings import PINNED, pinned, unpinned
from transfer.engine.pool import Group

# Other values than JAX's own, by the names of `jax.config`. Each of them changes a result, or ends
# a training that it does not expect.
HOSTILE = {
    "jax_enable_x64": True,
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_default_matmul_precision": "bfloat16",
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_enable_custom_prng": True,
    "jax_legacy_prng_key": "error",
    "jax_softmax_custom_jvp": True,
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_debug_key_reuse": True,
    "jax_enable_checks": True,
    "jax_check_tracer_leaks": True,
    "jax_disable_jit": True,
    "jax_no_tracing": True,
    "jax_no_execution": True,
    "jax_transfer_guard": "disallow",
}
DIVERGING = Lane(weight_lr=1e30, activity_lr=0.5, seed=0)


@pytest.fixture
def hostile_settings() -> Iterator[None]:
    """Set all of `HOSTILE` for the process, as a user would after the import."""
    before = {name: getattr(jax.config, name) for name in HOSTILE}
    before |= {f"jax_transfer_guard_{way}": None for way in TRANSFERS}
    for name, value in HOSTILE.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


TRANSFERS = ("host_to_device", "device_to_device", "device_to_host")


def with_a_diverging_lane() -> Group:
    whole = group("g", (0, 1))
    return replace(whole, lanes=(whole.lanes[0], DIVERGING))


def train(pool: object) -> tuple[Outcome, ...]:
    pool.submit(with_a_diverging_lane())  # type: ignore[attr-defined]
    (result,) = collect_all(pool, 1)
    return result.outcomes


def assert_same_bits(found: tuple[Outcome, ...], expected: tuple[Outcome, ...]) -> None:
    assert [outcome.status for outcome in found] == [outcome.status for outcome in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.cause is theirs.cause is None
        assert ours.final_train_loss == theirs.final_train_loss
        np.testing.assert_array_equal(ours.curve.train_loss, theirs.curve.train_loss)
        np.testing.assert_array_equal(ours.curve.test_loss, theirs.curve.test_loss)
        np.testing.assert_array_equal(ours.layer_changes, theirs.layer_changes)


@pytest.fixture(scope="module")
def usual() -> tuple[Outcome, ...]:
    with LocalPool(workers=1) as pool:
        outcomes = train(pool)
    assert outcomes[1].status is Status.DIVERGED
    return outcomes


def test_settings_of_this_process_change_nothing(
    usual: tuple[Outcome, ...], hostile_settings: None
) -> None:
    with LocalPool(workers=1) as pool:
        assert_same_bits(train(pool), usual)
    assert jax.config.jax_enable_x64  # the user's own JAX stays as the user wants it


@pytest.mark.slow
@pytest.mark.ray
def test_settings_of_workers_change_nothing(
    usual: tuple[Outcome, ...], make_ray_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of the nodes, of the driver or of the user reaches the workers."""
    own = environment.worker_variables
    variables = {name.upper(): str(value) for name, value in HOSTILE.items()}
    monkeypatch.setattr(environment, "worker_variables", lambda *, gpu: variables | own(gpu=gpu))
    assert_same_bits(train(make_ray_pool(workers=1)), usual)


def test_data_placed_in_another_precision_are_not_reused(usual: tuple[Outcome, ...]) -> None:
    """A user may have trained on the same data set in float64 before."""
    digits = pccore.data.load("digits")
    lane = group("g").lanes[0]
    with pinned():
        expected = pccore.fit(SMALL, digits, lane)
    with jax.enable_x64(True):
        double = pccore.fit(SMALL, digits, lane)
    with pinned():
        found = pccore.fit(SMALL, digits, lane)
    assert found.min_train_loss == expected.min_train_loss != double.min_train_loss


def test_every_pinned_setting_is_tried() -> None:
    tried = {name.removeprefix("jax_") for name in HOSTILE}
    assert set(PINNED) - tried == {"array_garbage_collection_guard"}  # it only ends the process


def test_planning_does_not_depend_on_settings(hostile_settings: None) -> None:
    """Tracing finds unsuitable settings of an experiment, not those of the process."""
    spec = {
        "name": "x",
        "dataset": "digits",
        "training": {"steps": 2},
        "tune": {"width": 3, "depth": 2, "weight_lr": [0.1], "activity_lr": [1]},
        "transfer": {"depths": [3]},
    }
    from transfer.engine.plan import Plan

    Plan.of(transfer.Experiment.from_dict(spec)).check()


def run_id() -> str:
    run = transfer.Run("digits", "abc", "mupc", SMALL, Lane(0.1, 1.0, 0))
    return run.run_id


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("", []),
        ("--xla_dump_to=/x --xla_cpu_multi_thread_eigen=false", []),
        ("--xla_force_host_platform_device_count=4", []),
        ("--xla_allow_excess_precision=false", ["--xla_allow_excess_precision=false"]),
    ],
)
def test_flags_of_the_compiler_are_part_of_the_id(
    usual_compiler: None, monkeypatch: pytest.MonkeyPatch, flags: str, named: list[str]
) -> None:
    before = run_id()
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert unpinned() == named
    assert (run_id() == before) == (not named)
    variables = environment.worker_variables(gpu=False)
    assert set(flags.split()) <= set(variables["XLA_FLAGS"].split())


def test_settings_that_cannot_be_pinned_are_part_of_the_id(usual_compiler: None) -> None:
    before = run_id()
    assert unpinned() == []
    jax.config.update("jax_random_seed_offset", 5)
    try:
        assert unpinned() == ["jax_random_seed_offset=5"]
        assert run_id() != before
        assert environment.worker_variables(gpu=False)["JAX_RANDOM_SEED_OFFSET"] == "5"
    finally:
        jax.config.update("jax_random_seed_offset", 0)
    assert environment.worker_variables(gpu=False)["JAX_RANDOM_SEED_OFFSET"] == "0"
    assert run_id() == before


def test_flags_may_be_in_a_file(
    usual_compiler: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "flags").write_text("--xla_allow_excess_precision=false\n")
    monkeypatch.setenv("XLA_FLAGS", str(tmp_path / "flags"))
    assert unpinned() == ["--xla_allow_excess_precision=false"]
    assert environment.thread_caps(1)["XLA_FLAGS"].startswith("--xla_allow")


def test_a_loss_known_from_elsewhere() -> None:
    """0.3543 at eta 0.1, beta 10, seed 1, as reported by users of the first release."""
    network = pccore.NetworkConfig(64, 10, width=8, depth=2, activation="tanh")
    rule = pccore.PredictiveCoding(pccore.GradientDescent(4))
    config = pccore.TrainingConfig(network, rule, batch_size=64, steps=20, eval_every=10)
    whole = Group("digits", None, config, (Lane(0.1, 10.0, 1),), ("a",))
    with LocalPool(workers=1) as pool:
        pool.submit(whole)
        ((outcome,),) = [result.outcomes for result in collect_all(pool, 1)]
    assert outcome.final_train_loss == pytest.approx(0.3543, abs=5e-5)


@pytest.mark.slow
def test_threads_change_nothing() -> None:
    """XLA may have read its flags before a pool caps the threads."""
    script = (
        "import jax, jobs, pccore\n"
        "from transfer.engine.pool import Group\n"
        "jax.numpy.ones(3).block_until_ready()\n"
        "network = pccore.NetworkConfig(64, 10, width=8, depth=2, activation='tanh')\n"
        "rule = pccore.PredictiveCoding(pccore.GradientDescent(4))\n"
        "config = pccore.TrainingConfig(network, rule, steps=20, eval_every=10)\n"
        "lanes = tuple(pccore.Lane(0.1, beta, seed) for beta in (10.0, 2.0) for seed in (0, 1))\n"
        "with jobs.LocalPool(workers=1) as pool:\n"
        "    pool.submit(Group('digits', None, config, lanes, ('a', 'b', 'c', 'd')))\n"
        "    for outcome in pool.collect()[0].outcomes:\n"
        "        found = (*outcome.curve.train_loss, *outcome.layer_changes)\n"
        "        print([float(number).hex() for number in found])\n"
    )
    kept = {k: v for k, v in os.environ.items() if k != "JAX_DISABLE_MOST_OPTIMIZATIONS"}

    def train(**variables: str) -> str:
        command = [sys.executable, "-c", script]
        done = subprocess.run(
            command, env=kept | variables, capture_output=True, text=True, check=True
        )
        return done.stdout

    one = train(PJRT_NPROC="1", XLA_FLAGS="--xla_cpu_multi_thread_eigen=false")
    assert one.count("0x") == 4 * (2 + 3)
    assert train(PJRT_NPROC="4", XLA_FLAGS="--xla_cpu_multi_thread_eigen=true") == one
