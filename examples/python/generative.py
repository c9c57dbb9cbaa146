"""Generative: labels to images. The trained network draws digits and classifies them.

python examples/python/generative.py
"""

import jax.numpy as jnp

import pccore

BATCH = 64
RATE = 0.1  # activity learning rate of one sample: beta / batch size
CONFIG = pccore.NetworkConfig(
    10, 64, 64, 2, "gelu", residual=False, parameterisation="sp", bias=True, activity_decay=0.1
)


def train(config: pccore.NetworkConfig, data: pccore.data.Dataset, steps: int) -> pccore.Network:
    """Train a network by predictive coding, with Adam."""
    rule = pccore.PredictiveCoding(pccore.GradientDescent(20))
    training = pccore.TrainingConfig(config, rule, batch_size=BATCH, steps=steps)
    lane = pccore.Lane(weight_lr=1e-3, activity_lr=RATE * BATCH, seed=0)
    return pccore.train(training, data, lane).network


def main(steps: int = 800) -> float:
    """Train on digits and return the accuracy of inferred labels of test images."""
    digits = pccore.data.load("digits")
    data = pccore.data.generative(digits)  # one-hot labels in, standardised images out
    network = train(CONFIG, data, steps)

    drawn = network.predict(jnp.eye(10))  # a forward pass from a label
    for row in range(8):
        lines = drawn[:, 8 * row : 8 * row + 8] > 0
        print("  ".join("".join(" #"[int(pixel)] for pixel in line) for line in lines))

    images, descent = data.test_y, pccore.GradientDescent(50)
    inferred = pccore.complete(network, {-1: images}, descent, RATE * len(images))
    right = float(jnp.mean(inferred.activities[0].argmax(axis=1) == digits.test_y))
    print(f"labels inferred for test images by a generative network: {right:.1%} right")
    return right


if __name__ == "__main__":
    main()
