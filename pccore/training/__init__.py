"""Training: configuration, compiled programs, the loop, snapshots, outcomes."""
