"""Training: configuration, compiled programs, loop, snapshots, outcomes."""
