"""The training loop: many runs of one shape as lanes of one compiled program.

Losses are collected on the device.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt

from pccore.data import Dataset
from pccore.networks.base import AbstractNetwork
from pccore.training.assessment import Chance, assess
from pccore.training.config import Lane, TrainingConfig
from pccore.training.data_arrays import DataArrays, as_dataset
from pccore.training.evaluation import Evaluation
from pccore.training.feed import Feed, Inferring, feed_of
from pccore.training.outcomes import Outcome, Status
from pccore.training.probe import Probed, readings_of
from pccore.training.programs import (
    LaneState,
    Rates,
    Spectrum,
    advance,
    evaluate,
    initial_networks,
    layer_changes,
    measure_spectrum,
    on_every_shard,
    probe,
    start,
)
from pccore.training.snapshots import Identity, Pace, Snapshots, decode, encode, unpack


class Progress(NamedTuple):
    """The state and the results of a training in progress.

    Attributes:
        state: the state of all lanes.
        tests: test loss and accuracy of all lanes, at each evaluation.
        probed: results of the probes, before the first update and at each evaluation.
        spectrum: what sets beta; None if every lane has its own.
    """

    state: LaneState
    tests: list[tuple[Array, Array]]
    probed: list[Probed]
    spectrum: Spectrum | None = None


class Trained(NamedTuple):
    """A trained network and the outcome of its training.

    Attributes:
        network: the final weights, an instance of the class that `config.network.build` returns.
        outcome: losses, accuracy, status.
    """

    network: AbstractNetwork
    outcome: Outcome


def train(
    config: TrainingConfig,
    dataset: DataArrays,
    lane: Lane,
    lanes: int = 1,
    *,
    on_progress: Callable[[int], None] | None = None,
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> Trained:
    """Train one network and return it. See `fit_many`, and `fit` for `lanes`."""
    state, outcomes = _run(config, dataset, [lane] * lanes, on_progress, on_evaluation)
    return Trained(jax.tree.map(lambda weights: weights[0], state.network), outcomes[0])


def fit(
    config: TrainingConfig,
    dataset: DataArrays,
    lane: Lane,
    lanes: int = 1,
    *,
    on_progress: Callable[[int], None] | None = None,
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> Outcome:
    """Train one network. See `fit_many`."""
    return fit_many(config, dataset, [lane], on_progress=on_progress, on_evaluation=on_evaluation)[
        0
    ]


def fit_many(
    config: TrainingConfig,
    dataset: DataArrays,
    lanes: Sequence[Lane],
    *,
    on_progress: Callable[[int], None] | None = None,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    snapshots: Snapshots | None = None,
    until: int | None = None,
    on_stop: Callable[[list[bytes]], None] | None = None,
) -> list[Outcome]:
    """Train one network per lane, all in one compiled program.

    A lane agrees with a run of its own to float32 rounding. A lane that diverges ends in
    `Status.DIVERGED` without an effect on the others; training stops if all lanes have diverged.

    Args:
        config: the settings that the runs share.
        dataset: the data set, which stays on the device for the next call; or any object with the
            arrays of `pccore.DataArrays`, which are copied with every call.
        lanes: the settings that differ between runs.
        on_progress: called with the number of weight updates done at every evaluation; an exception
            raised by it ends the training.
        on_evaluation: called with losses, accuracies and networks at every evaluation, and before
            `on_progress`; an exception raised by it ends the training.
        snapshots: the storage of snapshots of all lanes. A resumed training has the numbers of an
            uninterrupted one, bit for bit on the same kind of device. With a snapshot that is not
            of the same conventions, config, data set and lanes, training warns and starts from the
            beginning. One that `pack` made of lanes that stopped after the same update continues
            them side by side, whichever lanes they were trained with before.
        until: the update after which training stops, a multiple of `config.interval`; by default
            the last one. Lanes that have not diverged by then end in `Status.PRUNED`.
        on_stop: called with a snapshot of each lane, a training of its own, when training stops
            before its last update.

    Returns:
        One outcome per lane, in order. Numerical failure is an outcome, not an exception.

    Raises:
        ValueError: there are no lanes, the data set does not fit the network, there are fewer
            samples than one batch, or a lane lacks the activity learning rate that the rule needs;
            or no evaluation follows update `until`.
    """
    return _run(config, dataset, lanes, on_progress, on_evaluation, snapshots, until, on_stop)[1]


def _run(
    config: TrainingConfig,
    data: DataArrays,
    lanes: Sequence[Lane],
    on_progress: Callable[[int], None] | None,
    on_evaluation: Callable[[Evaluation], None] | None,
    snapshots: Snapshots | None = None,
    until: int | None = None,
    on_stop: Callable[[list[bytes]], None] | None = None,
) -> tuple[LaneState, list[Outcome]]:
    """Return the last state of all lanes, and their outcomes."""
    dataset = as_dataset(data)
    _check(config, dataset, lanes)
    end = _end(config, until)
    group = _Group.of(config, dataset, lanes)
    step, progress = _resumed(group, snapshots) or (0, group.begun())
    if config.batch_shards > 1:
        progress = progress._replace(
            state=on_every_shard(progress.state, config.batch_shards),
            spectrum=on_every_shard(progress.spectrum, config.batch_shards),
        )
    pace = Pace() if snapshots is not None else None
    if not config.steps and on_evaluation is not None:
        on_evaluation(group.evaluation(progress, step))
    while step < end:
        stop = min(end, _next_stop(config, group.feed.per_epoch, step, pace))
        with pace.timed(stop - step) if pace else nullcontext():
            progress = group.advanced(progress, step, stop)
            if pace:
                jax.block_until_ready(progress.state)
        step = stop
        progress = group.measured(progress, step)
        if group.evaluates(step):
            progress = group.evaluated(progress)
            alive = bool(jnp.any(progress.state.alive))
            if on_evaluation is not None:
                on_evaluation(group.evaluation(progress, step))
            if on_progress is not None:
                on_progress(step)
            if not alive:
                break
        if snapshots is not None and step < end:
            snapshots.offer(partial(encode, step, progress, group.identity))
    stopped = end if end < config.steps else None
    if stopped is not None and on_stop is not None:
        on_stop(group.lane_snapshots(progress, step))
    return progress.state, _outcomes(group, progress, Chance.of(dataset), stopped)


@dataclass(frozen=True)
class _Group:
    """Lanes that train together, and their data on the device."""

    config: TrainingConfig
    dataset: Dataset
    lanes: tuple[Lane, ...]
    seeds: UInt[Array, " lanes"]
    rates: Rates
    feed: Feed

    @staticmethod
    def of(config: TrainingConfig, dataset: Dataset, lanes: Sequence[Lane]) -> "_Group":
        remeasure = config.activity_lr.remeasure if config.activity_lr else 0
        feed = feed_of(
            dataset,
            config.batch_size,
            [lane.seed for lane in lanes],
            config.batch_shards,
            longest=min(config.interval, remeasure or config.interval),
        )
        seeds = jnp.array([lane.seed for lane in lanes], jnp.uint32)
        rates = Rates(
            jnp.array([lane.weight_lr for lane in lanes], float),
            jnp.array([lane.activity_lr or 0.0 for lane in lanes], float),
        )
        return _Group(config, dataset, tuple(lanes), seeds, rates, feed)

    @cached_property
    def identity(self) -> Identity:
        """The identity of its snapshots."""
        return Identity.of(self.config, self.dataset, self.lanes)

    def begun(self) -> Progress:
        """Return the progress before the first update; without updates, evaluated."""
        state = start(self.config, initial_networks(self.config, self.seeds))
        tests = [] if self.config.steps else [self._tested(state.network, self.rates)]
        spectrum = None
        if self.config.activity_lr is not None:
            blank = Spectrum.unmeasured(self.config.activity_lr.scale, len(self.seeds))
            spectrum = measure_spectrum(self.config, state, blank, self.feed.head, True)
        progress = Progress(state, tests, [], spectrum)
        return progress._replace(probed=[self._probed(progress)])

    def shapes(self, step: int) -> Progress:
        """Return the shapes of the progress after update `step`, without computing it.

        Program by program, as programs with options of the compiler cannot be traced in another.

        Raises:
            ValueError: no snapshot is taken after this update.
        """
        if not 0 < step < self.config.steps:
            raise ValueError(f"it is at update {step} of {self.config.steps}")
        config, evaluations = self.config, step // self.config.interval
        state = start.eval_shape(config, initial_networks.eval_shape(config, self.seeds))
        inferring = self._inferring(self.rates)
        tests = evaluate.eval_shape(state.network, self.feed.test_part, *inferring)
        probed: Probed = ()
        if config.probes:
            probed = probe.eval_shape(config, state.network, self.rates, self.feed.head)
        spectrum = None
        if config.activity_lr is not None:
            spectrum = Spectrum.unmeasured(config.activity_lr.scale, len(self.seeds))
            probed = (*probed, spectrum.readings())
        return Progress(state, [tests] * evaluations, [probed] * (evaluations + 1), spectrum)

    def lane(self, place: int) -> "_Group":
        """Return the group of one lane alone. Its feed is that of all: only shapes matter."""
        one = slice(place, place + 1)
        rates = Rates(self.rates.weight[one], self.rates.activity[one])
        return replace(self, lanes=self.lanes[one], seeds=self.seeds[one], rates=rates)

    def lane_snapshots(self, progress: Progress, step: int) -> list[bytes]:
        """Return a snapshot of each lane after update `step`."""
        whole = jax.tree.map(np.asarray, progress)
        return [
            encode(
                step,
                jax.tree.map(lambda values, i=i: jnp.asarray(values[i : i + 1]), whole),
                self.lane(i).identity,
            )
            for i in range(len(self.lanes))
        ]

    def joined(self, snapshots: Sequence[bytes]) -> tuple[int, Progress]:
        """Return the updates done and the progress of lanes that stopped after the same update.

        Raises:
            ValueError: a snapshot is not of its lane, or they differ in the updates done.
        """
        if len(snapshots) != len(self.lanes):
            raise ValueError(f"it has {len(snapshots)} lanes in place of {len(self.lanes)}")
        lanes = [self.lane(place) for place in range(len(self.lanes))]
        found = [
            decode(data, lane.shapes, lane.identity)
            for data, lane in zip(snapshots, lanes, strict=True)
        ]
        steps = {step for step, _ in found}
        if len(steps) > 1:
            raise ValueError("its lanes stopped after different updates")
        return steps.pop(), jax.tree.map(
            lambda *values: jnp.concatenate(values), *(progress for _, progress in found)
        )

    def evaluates(self, step: int) -> bool:
        """Return whether an evaluation follows update `step`."""
        return step % self.config.interval == 0 or step == self.config.steps

    def advanced(self, progress: Progress, step: int, stop: int) -> Progress:
        """Take updates `step` to `stop`."""
        state, rates = progress.state, self._rates(progress)
        for window in self.feed.windows(step, stop):
            if self.feed.streams:
                jax.block_until_ready(state.alive)
            state = advance(self.config, state, rates, self.seeds, *window)
        return progress._replace(state=state)

    def measured(self, progress: Progress, step: int) -> Progress:
        """Measure the spectrum after update `step` if beta is to be set or recorded there."""
        chosen = self.config.activity_lr
        if chosen is None or progress.spectrum is None:
            return progress
        reset = chosen.remeasure > 0 and step % chosen.remeasure == 0 and step < self.config.steps
        if not reset and not self.evaluates(step):
            return progress
        spectrum = measure_spectrum(
            self.config, progress.state, progress.spectrum, self.feed.head, reset
        )
        return progress._replace(spectrum=spectrum)

    def evaluated(self, progress: Progress) -> Progress:
        """Add an evaluation and the results of the probes."""
        rates = self._rates(progress)
        tests = [*progress.tests, self._tested(progress.state.network, rates)]
        return progress._replace(tests=tests, probed=[*progress.probed, self._probed(progress)])

    def evaluation(self, progress: Progress, step: int) -> Evaluation:
        """Return the last evaluation for a callback."""
        interval = self.config.interval
        losses = np.asarray(progress.state.losses)[:, (step - 1) // interval * interval : step]
        train_loss = losses.mean(axis=1) if step else np.full(len(losses), np.nan)
        test_loss, accuracy = (np.asarray(values) for values in progress.tests[-1])
        return Evaluation(step, train_loss, test_loss, accuracy, progress.state.network)

    def layer_changes(self, network: AbstractNetwork) -> Float[Array, "lanes L"]:
        """Return the relative change of every weight matrix since the first update.

        The initial weights are drawn again from the seeds, so that training need not keep them.
        """
        return layer_changes(network, initial_networks(self.config, self.seeds))

    def _tested(self, network: AbstractNetwork, rates: Rates) -> tuple[Array, Array]:
        """Return the mean test loss and accuracy of every lane."""
        return self.feed.evaluate(network, self._inferring(rates))

    def _inferring(self, rates: Rates) -> Inferring:
        """Return what an evaluation needs to know if it infers the inputs."""
        return (self.config, rates.activity) if self.config.rule.infers_input else ()

    def _rates(self, progress: Progress) -> Rates:
        """Return the learning rates in use."""
        if progress.spectrum is None:
            return self.rates
        return self.rates._replace(activity=progress.spectrum.activity_lr)

    def _probed(self, progress: Progress) -> Probed:
        probed: Probed = ()
        if self.config.probes:
            rates = self._rates(progress)
            probed = probe(self.config, progress.state.network, rates, self.feed.head)
        return probed if progress.spectrum is None else (*probed, progress.spectrum.readings())


def _resumed(group: _Group, snapshots: Snapshots | None) -> tuple[int, Progress] | None:
    """Load the number of updates done and the progress from a snapshot, if there is one."""
    data = None if snapshots is None else snapshots.load()
    if data is None:
        return None

    try:
        lanes = unpack(data)
        return decode(data, group.shapes, group.identity) if lanes is None else group.joined(lanes)
    except ValueError as error:
        warnings.warn(f"training starts from the beginning: {error}", RuntimeWarning, stacklevel=2)
        return None


def _outcomes(
    group: _Group, progress: Progress, chance: Chance, stopped: int | None
) -> list[Outcome]:
    """Return the outcome of every lane from the collected results."""
    config = group.config
    losses, limits = np.asarray(progress.state.losses), np.asarray(progress.state.limit)
    last, every = stopped or config.steps, config.interval
    steps = [*range(every, last, every), last][: len(progress.tests)]
    test_loss, accuracy = np.array(progress.tests).transpose(1, 2, 0)
    sources = [probe.source for probe in config.probes]
    if config.activity_lr is not None:
        sources.append(config.activity_lr.source)
    readings = readings_of(
        sources, list(zip([0, *steps], progress.probed, strict=False)), len(losses)
    )
    changes = np.asarray(group.layer_changes(progress.state.network))
    outcomes = [
        assess(
            losses[i], float(limits[i]), np.array(steps), test_loss[i], accuracy[i], chance, stopped
        )
        for i in range(len(losses))
    ]
    causes = _causes(config, outcomes, progress.spectrum)
    return [
        replace(
            outcome,
            layer_changes=np.where(outcome.status is Status.DIVERGED, np.nan, changes[i]),
            readings=readings[i],
            cause=causes[i],
        )
        for i, outcome in enumerate(outcomes)
    ]


def _causes(
    config: TrainingConfig, outcomes: Sequence[Outcome], spectrum: Spectrum | None
) -> list[str | None]:
    """Return why lanes diverged, where beta lambda_max / B is known to have exceeded its limit."""
    inference = config.rule.inference
    if spectrum is None or inference is None:
        return [None] * len(outcomes)
    limit = inference.stability_limit
    return [
        f"inference was unstable: beta lambda_max / B reached {reached:.3g}, and its steps are "
        f"bounded below {limit:.3g}"
        if outcome.status is Status.DIVERGED and reached > limit
        else None
        for outcome, reached in zip(outcomes, np.asarray(spectrum.reached), strict=True)
    ]


def _check(config: TrainingConfig, dataset: Dataset, lanes: Sequence[Lane]) -> None:
    network = config.network
    sizes = (network.input_size, network.output_size)
    if not lanes:
        raise ValueError("there are no lanes to train")
    if sizes != (dataset.input_size, dataset.output_size):
        raise ValueError(
            f"the network takes {sizes[0]} inputs and {sizes[1]} outputs, data set "
            f"{dataset.name!r} has {dataset.input_size} and {dataset.output_size}"
        )
    if config.batch_size > len(dataset.train_x):
        raise ValueError(
            f"batch_size {config.batch_size} exceeds the {len(dataset.train_x)} training samples "
            f"of data set {dataset.name!r}"
        )
    has_own = config.rule.needs_activity_lr and config.activity_lr is None
    if has_own and any(lane.activity_lr is None for lane in lanes):
        raise ValueError("predictive coding needs an activity_lr in every lane, got None")


def _end(config: TrainingConfig, until: int | None) -> int:
    """Return the update after which training ends. Raises `ValueError`: none is evaluated there."""
    if until is None or until == config.steps:
        return config.steps
    if not 0 < until < config.steps or until % config.interval:
        raise ValueError(
            f"until must be a multiple of {config.interval}, the updates between evaluations, from "
            f"{config.interval} to {config.steps}, got {until}"
        )
    return until


def _next_stop(config: TrainingConfig, per_epoch: int, step: int, pace: Pace | None) -> int:
    """Return the end of a stretch without evaluation, reshuffling or offer of a snapshot, and with
    one beta."""
    remeasure = config.activity_lr.remeasure if config.activity_lr else 0
    return min(
        config.steps,
        (step // remeasure + 1) * remeasure if remeasure else config.steps,
        (step // config.interval + 1) * config.interval,
        (step // per_epoch + 1) * per_epoch,
        step + pace.steps if pace else config.steps,
    )
