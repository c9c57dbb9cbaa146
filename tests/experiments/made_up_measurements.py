"""Evidence of probes and calculations written by hand."""

from dataclasses import replace

import pandas as pd
from made_up_evidence import evidence

COLUMNS = [
    *("quantity", "run_id", "variant", "dataset", "activation", "width", "depth", "weight_lr"),
    *("activity_lr", "seed", "step", "inference_step", "layer", "settings", "value"),
]


def measured(rows, runs=(), curves=()):
    """Return evidence with these measurements, and runs with ids 0, 1, ... in order."""
    frame = pd.DataFrame(list(rows), columns=COLUMNS)
    return replace(evidence(runs, curves), measurements=frame)
