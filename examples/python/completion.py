"""Completion: half of an image is clamped, and the other half and the label are inferred.

python examples/python/completion.py [picture.png]
"""

import sys

import numpy as np
from generative import CONFIG, RATE, train

import pccore


def draw(path: str, rows: list[tuple[str, np.ndarray]]) -> None:
    """Draw a row of images for each name; NaN pixels are hidden."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(rows), len(rows[0][1]), figsize=(9, 4.3))
    for line, (name, images) in zip(axes, rows, strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for axis, image in zip(line, images, strict=True):
            gray = plt.get_cmap("gray").with_extremes(bad="steelblue")
            axis.imshow(image.reshape(8, 8), cmap=gray, vmin=-0.8, vmax=1.9)
            axis.set(xticks=[], yticks=[])
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=100)


def main(steps: int = 800, path: str | None = None) -> dict[str, tuple[float, float]]:
    """Return, for each mask, the mean squared error of hidden pixels: completed, and mean image."""
    digits = pccore.data.load("digits")
    data = pccore.data.generative(digits)
    network, images = train(CONFIG, data, steps), data.test_y
    mean = np.broadcast_to(data.train_y.mean(axis=0), images.shape)
    scheme, beta = pccore.ToConvergence(3000, tolerance=1e-3), RATE * len(images)
    scattered = np.random.default_rng(0).permutation(64) < 32
    shown = [int(np.flatnonzero(digits.test_y == label)[0]) for label in range(10)]
    rows, errors = [("original", images[shown])], {}
    for name, seen in {"upper half": np.arange(64) < 32, "random half": scattered}.items():
        given = np.where(seen, images, mean)
        found = pccore.complete(network, {-1: given}, scheme, beta, {-1: seen})
        completed = np.asarray(found.activities[-1])
        wrong = ((guess - images)[:, ~seen] for guess in (completed, mean))
        errors[name] = tuple(float(np.mean(difference**2)) for difference in wrong)
        right = np.mean(found.activities[0].argmax(axis=1) == digits.test_y)
        print(f"{name} seen, {right:.0%} of labels right; mean squared error of the unseen pixels:")
        print("completed {:.3f}, mean image {:.3f}".format(*errors[name]))
        rows += [(name, np.where(seen, images, np.nan)[shown]), ("completed", completed[shown])]
    if path is not None:
        draw(path, rows)
    return errors


if __name__ == "__main__":
    main(path=sys.argv[1] if len(sys.argv) > 1 else "completion.png")
