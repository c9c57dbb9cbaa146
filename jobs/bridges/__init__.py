"""Bridges from a ledger to other tools: Optuna, MLflow and TensorBoard.

Each writes what it does not have yet, so that it continues after a stop and follows a sweep.
"""

from jobs.bridges.forms import FORMS, Bridge, Form

__all__ = ["FORMS", "Bridge", "Form"]
