"""Learning-rate transfer: the spec, the search, the rerun at the target, the verdict.

import jobs, results, transfer

experiment = transfer.load("examples/digits.yaml")
with jobs.LocalPool() as pool:
    result = transfer.run(experiment, results.open("runs", create=True), pool)
print(result.summary)

Layers, from the bottom; a module imports from its own layer and those below:
    space           the learning rates that a variant may take
    judge           intervals, refined optima, laws, verdicts
    search          samplers
    spec            experiments as written in YAML or Python
    engine          plans, runs, scheduling
"""

import lazy_loader as lazy

# Names are imported when first used; `__init__.pyi` says where each comes from.
__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
