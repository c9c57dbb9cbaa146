"""Modes of learning: which ends of the network are clamped to what."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache

from pccore import LearningRule, PredictiveCoding, Registry, TrainingConfig, Unsupervised
from pccore.data import Dataset, DatasetInfo
from pccore.data.exchange import generative, generative_info, latent, latent_info
from pccore.starts import ForwardStart
from pccore.validation import PositiveInt, require_bounds


class Mode(ABC):
    """What the input and the output of the networks are clamped to in training."""

    @abstractmethod
    def info(self, info: DatasetInfo) -> DatasetInfo:
        """Return the description of the data set that networks are trained on."""

    @abstractmethod
    def dataset(self, dataset: Dataset) -> Dataset:
        """Return the data set that networks are trained on."""

    def training(self, config: TrainingConfig) -> TrainingConfig:
        """Return the training in this mode.

        Raises:
            ValueError: it has none.
        """
        return config


@dataclass(frozen=True)
class DiscriminativeMode(Mode):
    """The input of the data set below, its target above."""

    def info(self, info: DatasetInfo) -> DatasetInfo:
        return info

    def dataset(self, dataset: Dataset) -> Dataset:
        return dataset


@dataclass(frozen=True)
class GenerativeMode(Mode):
    """The target of the data set below (labels one-hot), its standardised input above."""

    def info(self, info: DatasetInfo) -> DatasetInfo:
        return generative_info(info)

    def dataset(self, dataset: Dataset) -> Dataset:
        return _generative(dataset)


@dataclass(frozen=True)
class UnsupervisedMode(Mode):
    """The standardised input of the data set above, and nothing below: latents are inferred.

    Attributes:
        latents: numbers in z_0, the input of the networks.
    """

    latents: PositiveInt

    def __post_init__(self) -> None:
        require_bounds(self)

    def info(self, info: DatasetInfo) -> DatasetInfo:
        return latent_info(info, self.latents)

    def dataset(self, dataset: Dataset) -> Dataset:
        return _latent(dataset, self.latents)

    def training(self, config: TrainingConfig) -> TrainingConfig:
        if config.activity_lr is not None:
            raise ValueError(
                "mode unsupervised needs a list or a range of activity_lr, got spectral"
            )
        return replace(config, rule=_unsupervised(config))


def _unsupervised(config: TrainingConfig) -> LearningRule:
    """Return the rule that infers the input too."""
    rule = config.rule
    if not isinstance(rule, PredictiveCoding) or config.network.parts():
        raise ValueError(
            "mode unsupervised infers the input of one network by predictive coding: choose from "
            "mupc, sp, sp_gaussian, ntp, orthogonal, and pc for layers of your own"
        )
    if rule.start != ForwardStart():
        raise ValueError("mode unsupervised starts at a forward pass: leave out training.start")
    if config.probes:
        raise ValueError(
            "mode unsupervised has no gradient of backpropagation to compare with: leave out "
            "training.probes"
        )
    return Unsupervised(rule.inference)


# An experiment asks for its data several times.
_generative = lru_cache(maxsize=2)(generative)
_latent = lru_cache(maxsize=2)(latent)

MODES: Registry[type[Mode]] = Registry(
    "mode",
    {
        "discriminative": DiscriminativeMode,
        "generative": GenerativeMode,
        "unsupervised": UnsupervisedMode,
    },
)
