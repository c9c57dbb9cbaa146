"""Trained networks from a ledger: from their kept weights, or trained again from their row."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numpy as np

import pccore
from pccore.data import DatasetError
from pccore.data.exchange import origin
from results import LedgerError, read_weights
from transfer.engine.rebuilding import refuse_function, run_of

if TYPE_CHECKING:
    from results import KeptWeights, Ledger

T = TypeVar("T")


class Rebuilt(NamedTuple):
    """A run as `pccore` trains it, in the order of arguments: `pccore.fit(*rebuilt)`.

    Attributes:
        config: the settings that runs of a program share.
        data: the data set.
        lane: learning rates and seed.
        lanes: how many lanes the program had that trained the run.
    """

    config: pccore.TrainingConfig
    data: pccore.data.Dataset
    lane: pccore.Lane
    lanes: int


def network(ledger: "Ledger", run_id: str) -> pccore.Predictor:
    """Return the trained network of a run from its kept weights.

    Args:
        ledger: the ledger.
        run_id: the run's id, which may be shortened to its first characters.

    Raises:
        LedgerError: there is no such run, or its weights were not kept, are gone or are damaged.
    """
    return predictor(ledger.kept(run_id))


def load_network(path: Path | str) -> pccore.Predictor:
    """Return the trained network in a safetensors file that `mupc export` wrote.

    Raises:
        LedgerError: the file cannot be read or has no such network.
    """
    return predictor(read_weights(path))


def predictor(kept: "KeptWeights") -> pccore.Predictor:
    """Return the network with these weights.

    Raises:
        LedgerError: the weights are not those of the network that their description names.
    """
    about: Mapping[str, Any] = kept.description
    what = f"the weights of run {about.get('run_id')} cannot be used"
    try:
        data, sizes, settings = about["data"], about["network"], about["settings"]
        run = run_of(
            {**settings, "run_id": about["run_id"], "variant": about["variant"]},
            sizes["input_size"],
            sizes["output_size"],
        )
        network = pccore.from_arrays(run.config.network, kept.arrays)
        return pccore.Predictor(
            network,
            float(data["mean"]),
            float(data["std"]),
            *_features(data, run.config.network.input_size),
        )
    except LedgerError:
        raise
    except (ValueError, TypeError, LookupError) as error:
        raise LedgerError(f"{what}: {error}") from error


def _features(
    data: Mapping[str, object], input_size: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the mean and the standard deviation of each input, None where there are none.

    Raises:
        ValueError: they are not numbers for each input.
    """
    if "feature_mean" not in data:
        return None, None
    mean, std = (np.asarray(data[key], float) for key in ("feature_mean", "feature_std"))
    if mean.shape != (input_size,) or std.shape != (input_size,) or not (std > 0).all():
        raise ValueError("feature_mean and feature_std must have a number for each input")
    return mean, std


def rebuild(
    ledger: "Ledger",
    run_id: str,
    data: pccore.data.Dataset | None = None,
    data_dir: Path | str | None = None,
) -> Rebuilt:
    """Return the configuration, the data set and the lane of a run, to train it again.

    On a machine of the same kind with the same versions, `pccore.fit(*rebuilt)` has the numbers of
    the row, bit for bit, if the run was trained in the usual layout (docs/layout.md); otherwise
    they differ by rounding. `pccore.train(*rebuilt)` returns the network as well.

    Args:
        ledger: the ledger.
        run_id: the run's id, which may be shortened to its first characters.
        data: its data set, where `pccore.data.load` does not have it.
        data_dir: where the files of data sets are; None means the default place.

    Raises:
        LedgerError: there is no such run, or this version cannot train it again.
        DatasetError: the data set is missing, damaged, or not the one that the run had.
    """
    row = ledger.row(run_id)
    refuse_function(row)
    if row["conventions"] != pccore.CONVENTIONS:
        raise LedgerError(
            f"run {row['run_id']} was trained under version {row['conventions']} of the numerical "
            f"conventions, and this version of mupc has {pccore.CONVENTIONS}: the same settings "
            "give other numbers"
        )
    if data is None:
        folder = None if data_dir is None else Path(data_dir)
        data = pccore.data.load(str(row["dataset"]), folder)
    elif row["dataset_digest"] != data.digest:  # it may be of another mode than given
        data = origin(str(row["dataset"]))[1](data)
    if row["dataset_digest"] not in (None, data.digest):
        raise DatasetError(
            f"the data set {data.name!r} is not the one of run {row['run_id']}: its digest is "
            f"{data.digest[:12]}..., and that of the run's {str(row['dataset_digest'])[:12]}..."
        )
    run = run_of(row, data.input_size, data.output_size)
    return Rebuilt(run.config, data, run.lane, cast(int, row["lanes"] or 1))
