"""Optimisers as users write them."""

import optax


def clipped_lion(learning_rate, b1=0.9, max_norm=1.0):
    """Lion of clipped gradients."""
    return optax.chain(optax.clip_by_global_norm(max_norm), optax.lion(learning_rate, b1=b1))


def scheduled_sgd(learning_rate, updates=6, warmup=2):
    """SGD with a warm-up and a linear decay, by Optax's own count of updates."""
    rise = optax.linear_schedule(1 / warmup, 1.0, warmup - 1)
    fall = optax.linear_schedule(1.0, 0.0, updates - warmup)
    factor = optax.join_schedules([rise, fall], [warmup])
    return optax.sgd(lambda count: learning_rate * factor(count))
