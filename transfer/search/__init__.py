"""Search the learning rates of one shape: samplers."""
