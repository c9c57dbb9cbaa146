"""Judge a transfer: intervals, refined optima, laws, verdicts."""
