"""The data set of a job, if it is the user's own: it is sent as arrays, or named by its path."""

import io
from typing import TYPE_CHECKING

from jobs.errors import SubmissionError

if TYPE_CHECKING:
    from pccore.data import Dataset
    from transfer import Experiment, Sweep

NAME = "data.npz"
MOST_BYTES = 50_000_000
_HOPELESS = 10  # times as large before it is packed


def travelling_spec(
    experiment: "Experiment | Sweep",
) -> tuple[str, dict[str, bytes], tuple[str, ...]]:
    """Return what a job needs for its data set.

    A data set of the user's own is sent as the arrays that it was read to, with the digest and the
    run ids that it has here. What is too large for that stays where it is, if it is in a file.

    Returns:
        The spec in YAML, the files beside it by name, and the paths that the head node must have.

    Raises:
        SubmissionError: the data set is too large, and in no file.
    """
    from transfer.spec.dataset import FileDataset, own_data
    from transfer.spec.sweep import Sweep
    from transfer.spec.yaml import write_yaml

    if isinstance(experiment, Sweep) or isinstance(experiment.dataset, str):
        return experiment.to_yaml(), {}, ()
    data = own_data(experiment.dataset)
    packed = _packed(data)
    if packed is not None:
        values = {**experiment.recorded(), "dataset": _section(data)}
        return write_yaml(values), {NAME: packed}, ()
    if not isinstance(experiment.dataset, FileDataset):
        raise SubmissionError(
            f"the data set {data.name} is larger than the {MOST_BYTES / 1e6:g} MB that are sent "
            "with a job: save it in a file that the head node has at the same path, and give the "
            "spec that file"
        )
    return experiment.to_yaml(), {}, experiment.dataset.section.paths


def _packed(data: "Dataset") -> bytes | None:
    """Return the content of a data set as an .npz file; None if that is too large."""
    import numpy as np

    arrays = {
        "x": data.train_x,
        "y": data.train_y,
        "x_test": data.test_x,
        "y_test": data.test_y,
    }
    if sum(array.nbytes for array in arrays.values()) > _HOPELESS * MOST_BYTES:
        return None
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue() if buffer.tell() <= MOST_BYTES else None


def _section(data: "Dataset") -> dict[str, object]:
    """Return the section of a spec that reads the packed arrays as they are."""
    return {
        "file": NAME,
        "task": data.task,
        "normalise": {"mean": data.mean, "std": data.std},
        "name": data.label,
    }
