"""The ledger with its trained networks: what `results` stores, as `pccore` uses it."""

from pathlib import Path
from typing import TYPE_CHECKING

import results

if TYPE_CHECKING:
    from pccore import Predictor
    from pccore.data import Dataset
    from transfer.engine.trained_networks import Rebuilt


class Ledger(results.Ledger):
    """A `results.Ledger` whose runs are networks. Opened by `mupc.open`."""

    def network(self, run_id: str) -> "Predictor":
        """Return the trained network of a run. See `transfer.engine.trained_networks.network`."""
        from transfer.engine.trained_networks import network

        return network(self, run_id)

    def rebuild(
        self,
        run_id: str,
        data: "Dataset | None" = None,
        data_dir: Path | str | None = None,
    ) -> "Rebuilt":
        """Return a run to train it again. See `transfer.engine.trained_networks.rebuild`."""
        from transfer.engine.trained_networks import rebuild

        return rebuild(self, run_id, data, data_dir)


open = Ledger.open
"""Open a ledger; the same as `Ledger.open`."""
