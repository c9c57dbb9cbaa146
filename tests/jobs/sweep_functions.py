"""Training functions of sweeps, in a module that processes of functions import quickly.

Such a process imports the function's whole module: a test's own would bring JAX and pytest.
"""

import math
import os
import random
import signal
import sys
from typing import Any

LR, DECAY, BATCH = 0.1, 0.01, 32
L0 = 5


def excess(shape: Any, rates: Any) -> float:
    """The excess of the log loss: its optimum is at 0.1 (L / 5)^-1/2, 0.01 and 32 exactly."""
    best = LR * ((shape.depth + 1) / L0) ** -0.5
    found = math.log2(rates["lr"] / best) ** 2
    if "decay" in rates:
        found += 0.5 * math.log2(rates["decay"] / DECAY) ** 2
    if "batch_size" in rates:
        if type(rates["batch_size"]) is not int:
            raise TypeError("batch_size")
        found += 0.2 * math.log2(rates["batch_size"] / BATCH) ** 2
    return found


def quadratic(shape: Any, rates: Any, seed: Any) -> list[float]:
    """A curve down to 0.2 exp(0.2 excess), give or take 1 % over seeds."""
    final = 0.2 * math.exp(0.2 * excess(shape, rates) + 0.01 * random.Random(seed).gauss(0, 1))
    return [4 * final, 2 * final, final]


BEST = {"lr": 0.1, "decay": 0.01, "batch_size": 32}


def bowl(shape: Any, rates: Any, seed: Any) -> list[float]:
    """A loss with its optimum at BEST, which seeds raise a little."""
    away = sum(math.log2(value / BEST[name]) ** 2 for name, value in rates.items())
    return [1.0, 0.1 * math.exp(0.2 * away + 0.001 * seed)]


def unruly(shape: Any, rates: Any, seed: Any) -> Any:
    """Ends in another way for each value of its rate."""
    import numpy as np

    import mupc

    print("said by the function")
    ways = {
        1: lambda: 0.5,
        2: lambda: np.float32(0.25),
        3: lambda: math.nan,
        4: lambda: None,
        5: lambda: {}["absent"],
        6: lambda: sys.exit(3),
        7: lambda: os._exit(7),
        8: lambda: os.kill(os.getpid(), signal.SIGKILL),
        9: lambda: random.Random(0),
        10: lambda: mupc.Outcome(mupc.Status.TRAINED),
        11: lambda: mupc.Outcome(mupc.Status.TRAINED, final_train_loss=0.75, test_accuracy=0.5),
    }
    return ways[rates["way"]]()
