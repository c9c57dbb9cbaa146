"""The ledger: Parquet tables of runs, their curves and layers, verdicts and measurements.

    import results

    ledger = results.open("runs/")
    ledger.runs(variant="mupc", depth=128)      # a pandas DataFrame
    results.columns("runs")                     # meanings and units of its columns

Importing this package loads neither pandas nor pyarrow; using it does.
"""

import lazy_loader as lazy

# Names are imported on first use, from the modules in `__init__.pyi`.
__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
