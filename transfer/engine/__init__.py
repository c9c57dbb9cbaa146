"""Run an experiment: plan its runs, train them on a pool, record them, transfer and judge."""
