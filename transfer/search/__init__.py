"""Search the learning rates of one shape: spaces, samplers, step limits."""
