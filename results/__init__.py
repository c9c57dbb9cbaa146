"""The ledger: Parquet tables of runs, curves, verdicts and measurements, asked through pandas.

    import results

    ledger = results.open("runs/")
    ledger.runs(variant="mupc", depth=128)      # a pandas frame
    results.columns("runs")                     # what its columns mean, with their units

Importing this package loads neither pandas nor pyarrow; using it does.
"""

import lazy_loader as lazy

# Names are imported when first used; `__init__.pyi` says where each comes from.
__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
