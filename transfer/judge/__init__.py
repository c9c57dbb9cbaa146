"""Judge a transfer: landscapes of losses, laws, intervals, verdicts."""
