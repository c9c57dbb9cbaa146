"""Learning rates of chapter 5: the thesis's grids, its code's optima, and our own."""

ETAS = (0.5, 0.1, 0.05, 0.01)
BETAS = (1e3, 5e2, 1e2, 50, 10, 5, 1, 0.5, 0.1, 0.05, 0.01)

# optima at N = 512 over an epoch: eta and beta of muPC, eta of BP, on MNIST. They are from the
# authors' published code; the thesis states the grids (C.4) and eta = 0.1 of linear muPC alone
AUTHORS = {"linear": (0.1, 1.0), "tanh": (0.1, 1.0), "relu": (0.1, 0.5)}
AUTHORS_BP = {"linear": 0.001, "tanh": 0.01, "relu": 0.01}
AUTHORS_FASHION = (0.05, 0.5)

# the optima at N = 64 over 200 updates, used by chapter 5's small recipes: found by the recipe
# `optima` at 8 layers and, for beta = 5, by examples/mnist-descent.yaml at more layers
# (docs/decisions/transfer-experiments.md)
OUR_BETAS = (10, 5)
OURS_BP = {"linear": 0.01, "tanh": 0.05, "relu": 0.05}
