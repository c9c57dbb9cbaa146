"""Discriminative: images to labels. Training clamps the image below and the label above.

python examples/python/discriminative.py
"""

import pccore


def main(steps: int = 300) -> float:
    """Train on digits and return the test accuracy of a forward pass."""
    digits = pccore.data.load("digits")
    network = pccore.NetworkConfig(digits.input_size, digits.output_size, width=64, depth=8)
    rule = pccore.PredictiveCoding(pccore.GradientDescent(steps=8))
    config = pccore.TrainingConfig(network, rule, batch_size=64, steps=steps)
    outcome = pccore.fit(config, digits, pccore.Lane(weight_lr=0.05, activity_lr=5.0, seed=0))
    print(f"muPC, 8 hidden layers, {steps} steps: {outcome.test_accuracy:.1%} of test digits right")
    return outcome.test_accuracy


if __name__ == "__main__":
    main()
