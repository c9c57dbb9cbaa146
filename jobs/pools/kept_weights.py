"""The weights of a group's trained networks, as a worker returns them."""

from collections.abc import Callable, Sequence

import pccore
from pccore.data import Dataset
from transfer.engine.admission import KEPT
from transfer.engine.pool import Group, TrainedWeights


class KeptLanes:
    """Copies the weights of a group's `kept` runs from the device after the last update.

    Args:
        group: the group in training.
        dataset: its data set.
    """

    def __init__(self, group: Group, dataset: Dataset) -> None:
        self.group, self._dataset = group, dataset
        self._weights: dict[str, TrainedWeights] = {}

    def callback(self, lanes: Sequence[int]) -> Callable[[pccore.Evaluation], None] | None:
        """Return the callback of a training of some lanes of the group; None if none is kept."""
        wanted = {
            place: self.group.run_ids[lane]
            for place, lane in enumerate(lanes)
            if self.group.run_ids[lane] in self.group.kept
        }

        config = self.group.config
        assert isinstance(config, pccore.TrainingConfig)
        steps = config.steps

        def keep(evaluation: pccore.Evaluation) -> None:
            if evaluation.step == steps:
                for place, run_id in wanted.items():
                    self._weights[run_id] = self._trained(evaluation.network(place))

        return keep if wanted else None

    def weights(self, outcomes: Sequence[pccore.Outcome]) -> dict[str, TrainedWeights]:
        """Return the weights of the kept runs that ended with a network, by run id."""
        return {
            run_id: self._weights[run_id]
            for run_id, outcome in zip(self.group.run_ids, outcomes, strict=True)
            if outcome.status in KEPT and run_id in self._weights
        }

    def _trained(self, network: pccore.AbstractNetwork) -> TrainedWeights:
        data = self._dataset
        return TrainedWeights(
            pccore.to_arrays(network),
            data.task,
            data.mean,
            data.std,
            data.feature_mean,
            data.feature_std,
        )
