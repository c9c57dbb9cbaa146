"""Thesis C.2.3: the spectrum of the activity Hessian against random-matrix theory."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from experiments.evidence import Evidence
from experiments.recipe import Claim, Judged, Recipe, Row, Setting
from pccore import NetworkConfig

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from experiments.figures.measured import Figure

MATRICES = ("D", "O", "H")
SOURCE = "thesis C.2.3"
# the two normalisations of C.2.3, both without skips: a = 1, b = 1/N, and a = N^(-1/2), b = 1
VARIANTS = {"sp": "sp_gaussian", "ntp": "ntp"}
SEEDS = {"sp": 0, "ntp": 1}  # with one seed both would have the same Hessian
BINS, EXTENT = 60, (-4.0, 8.0)


def spectra(
    widths: tuple[int, ...], depths: tuple[int, ...], base: tuple[int, int]
) -> Iterator[Row]:
    """Yield eigenvalues of D, O and H_z in float64: their extremes and their densities.

    Args:
        widths: widths at the base's depth.
        depths: depths at the base's width.
        base: width and depth at which the second normalisation is also computed.
    """
    N, H = base
    shapes = dict.fromkeys([*((width, H) for width in widths), *((N, depth) for depth in depths)])
    cases = [("sp", *shape) for shape in shapes] + [("ntp", N, H)]
    for variant, width, depth in cases:
        config = NetworkConfig(
            input_size=width, output_size=width, width=width, depth=depth, activation="linear",
            residual=False, parameterisation=VARIANTS[variant],
        )  # fmt: skip
        known = {"variant": variant, "activation": "linear", "width": width, "depth": depth}
        known |= {"residual": False, "seed": SEEDS[variant], "source": SOURCE}
        for matrix, values in eigenvalues(config, SEEDS[variant]).items():
            yield {**known, "quantity": f"{matrix}_smallest", "value": float(values.min())}
            yield {**known, "quantity": f"{matrix}_largest", "value": float(values.max())}
            yield from densities(config, matrix, values, known)


def eigenvalues(config: NetworkConfig, seed: int = 0) -> "dict[str, np.ndarray]":
    """Return the eigenvalues of the block diagonal, the rest, and their sum."""
    import jax
    import numpy as np

    from pccore.networks.linear_solution import activity_hessian

    with jax.enable_x64(True):
        hessian = activity_hessian(config.build(jax.random.key(seed)))
        dense = np.asarray(hessian.dense(largest=2**15))
        blocks = np.asarray(hessian.diagonal)
    off = dense.copy()
    for layer in range(config.depth):
        own = slice(layer * config.width, (layer + 1) * config.width)
        off[own, own] = 0
    return {
        "D": np.linalg.eigvalsh(blocks).ravel(),
        "O": np.linalg.eigvalsh(off),
        "H": np.linalg.eigvalsh(dense),
    }


def densities(
    config: NetworkConfig, matrix: str, values: "np.ndarray", known: Mapping[str, object]
) -> Iterator[Row]:
    """Yield the density of eigenvalues in every bin, and theory's prediction."""
    import numpy as np

    from pccore.theory import off_diagonal, wishart

    heights, ends = np.histogram(values, BINS, EXTENT)
    centres, length = (ends[1:] + ends[:-1]) / 2, ends[1] - ends[0]
    law = {
        "D": lambda x: wishart(config).density(x - 1),
        "O": lambda x: off_diagonal(config).density(x),
    }.get(matrix)
    expected = [None] * BINS if law is None else np.asarray(law(centres))
    for centre, height, prediction in zip(centres, heights, expected, strict=True):
        settings = json.dumps({"eigenvalue": round(float(centre), 6)})
        row = {**known, "settings": settings}
        density = float(height) / len(values) / length
        yield {**row, "quantity": f"{matrix}_density", "value": density}
        if prediction is not None:
            yield {**row, "quantity": f"{matrix}_law", "value": float(prediction)}


def extreme(evidence: Evidence, quantity: str, **where: object) -> "pd.Series":
    """Return a quantity by size, from the smallest Hessian to the largest."""
    rows = evidence.measured(quantity, variant="sp", **where)
    return rows.set_index(["depth", "width"])["value"].sort_index()


def base(evidence: Evidence) -> "tuple[int, int] | None":
    """Return depth and width of the second normalisation, where both series meet."""
    rows = evidence.measured("H_largest", variant="ntp")
    return None if not len(rows) else (int(rows["depth"].iloc[0]), int(rows["width"].iloc[0]))


def widest(evidence: Evidence) -> "tuple[int, int] | None":
    """Return depth and width of the widest network at the depth where both series meet."""
    at = base(evidence)
    if at is None:
        return None
    return at[0], int(evidence.measured("H_largest", variant="sp", depth=at[0])["width"].max())


def at_widest(evidence: Evidence, quantity: str) -> "float | None":
    where = widest(evidence)
    return None if where is None else float(extreme(evidence, quantity)[where])


def diagonal_edges(evidence: Evidence) -> Judged | None:
    low, high = at_widest(evidence, "D_smallest"), at_widest(evidence, "D_largest")
    if low is None or high is None:
        return None
    return Judged(f"[{low:.3f}, {high:.3f}]", abs(low - 1) <= 0.05 and abs(high - 5) <= 0.5)


def distance(evidence: Evidence, matrix: str, one: Row, other: Row) -> float:
    """Return half the integral of the difference between two densities: 0 to 1."""
    first, second = (
        evidence.measured(f"{matrix}_density", **where).set_index("settings")["value"]
        for where in (one, other)
    )
    length = (EXTENT[1] - EXTENT[0]) / BINS
    return float((first - second).abs().sum() * length / 2)


def distance_along(evidence: Evidence, matrix: str, size: str) -> "float | None":
    """Return the distance between the densities at the ends of the series in `size`."""
    at = base(evidence)
    if at is None:
        return None
    fixed = {"variant": "sp"} | ({"width": at[1]} if size == "depth" else {"depth": at[0]})
    sizes = evidence.measured(f"{matrix}_density", **fixed)[size]
    if sizes.nunique() < 2:
        return None
    return distance(evidence, matrix, {**fixed, size: sizes.min()}, {**fixed, size: sizes.max()})


def diagonal_is_independent_of_depth(evidence: Evidence) -> Judged | None:
    depth = distance_along(evidence, "D", "depth")
    low, high = extreme(evidence, "D_largest"), at_widest(evidence, "D_largest")
    if depth is None or high is None:
        return None
    return Judged(
        f"densities {depth:.3f} apart from the least to the greatest depth; largest eigenvalue "
        f"{low.min():.2f} to {low.max():.2f} over all sizes",
        depth <= 0.1,
    )


def normalisations_agree(evidence: Evidence) -> Judged | None:
    at = base(evidence)
    if at is None:
        return None
    size = {"depth": at[0], "width": at[1]}
    apart = [
        distance(evidence, m, {"variant": "sp", **size}, {"variant": "ntp", **size})
        for m in MATRICES
    ]
    words = ", ".join(f"{m} {d:.3f}" for m, d in zip(MATRICES, apart, strict=True))
    return Judged(words, max(apart) <= 0.1)


def broader_than_semicircle(evidence: Evidence) -> Judged | None:
    high = at_widest(evidence, "O_largest")
    if high is None:
        return None
    return Judged(f"+-{high:.3f}", 2 < high <= 1.05 * 8**0.5)


def off_diagonal_law(evidence: Evidence) -> Judged | None:
    where = widest(evidence)
    if where is None:
        return None
    size = {"variant": "sp", "depth": where[0], "width": where[1]}
    found = evidence.measured("O_density", **size).set_index("settings")["value"]
    law = evidence.measured("O_law", **size).set_index("settings")["value"]
    apart = float((found - law).abs().sum() * (EXTENT[1] - EXTENT[0]) / BINS / 2)
    return Judged(f"{apart:.3f} from the semicircle of radius 2 sqrt(2)", apart <= 0.1)


def off_diagonal_depends_on_both(evidence: Evidence) -> Judged | None:
    found = {
        (matrix, size): distance_along(evidence, matrix, size)
        for matrix, size in itertools.product("DO", ("depth", "width"))
    }
    depth, width, still = found["O", "depth"], found["O", "width"], found["D", "depth"]
    if depth is None or width is None or still is None:
        return None
    return Judged(
        f"densities {depth:.3f} apart over depths, {width:.3f} over widths ({still:.3f} of D over "
        "depths)",
        depth >= 2 * still and width >= 2 * still,
    )


def weyl_is_tight(evidence: Evidence) -> Judged | None:
    high = at_widest(evidence, "H_largest")
    if high is None:
        return None
    return Judged(f"{high:.3f}", 6 <= high <= 7)


def lower_bound_is_loose(evidence: Evidence) -> Judged | None:
    low = extreme(evidence, "H_smallest")
    if not len(low):
        return None
    return Judged(f"smallest {low.min():.2g} over all sizes", bool((low > 0).all()))


def depth_moves_smallest_most(evidence: Evidence) -> Judged | None:
    at = base(evidence)
    if at is None:
        return None
    low, high = (extreme(evidence, f"H_{end}", width=at[1]) for end in ("smallest", "largest"))
    falls, rises = low.iloc[0] / low.iloc[-1], high.iloc[-1] / high.iloc[0]
    return Judged(
        f"the smallest falls {falls:.2g}-fold, the largest rises {rises:.2g}-fold with depth",
        rises > 1 and falls >= 2 * rises,
    )


def spectrum(evidence: Evidence, series: str) -> "Figure":
    """Draw densities as lines with the laws dashed, one panel per matrix, one line per size."""
    import pandas as pd

    from experiments.figures.measured import Axis, lines

    at = base(evidence)
    parts = []
    for matrix in MATRICES:
        rows = evidence.measured(f"{matrix}_density", variant="sp")
        keys = ["width", "depth", "settings"]
        law = evidence.measured(f"{matrix}_law", variant="sp")[[*keys, "value"]]
        rows = rows.merge(law, on=keys, how="left", suffixes=("", "_law"))
        parts.append(rows.assign(matrix=matrix, x=_positions(rows["settings"])))
    frame = pd.concat(parts)
    if at is not None:
        frame = frame[frame["width"] == at[1]] if series == "depth" else frame
        frame = frame[frame["depth"] == at[0]] if series == "width" else frame
    return lines(
        frame,
        Axis("x", "eigenvalue"),
        Axis("value", "density", limits=(0, None)),
        series,
        "matrix",
        ordered=True,
        dashed="value_law",
        title=f"D, O and H = D + O by {series}",
    )


def _positions(settings: "pd.Series") -> "pd.Series":
    return settings.map(lambda text: json.loads(text)["eigenvalue"]).astype(float)


def extremes_by_size(evidence: Evidence) -> "Figure":
    import pandas as pd

    from experiments.figures.measured import Axis, lines

    rows = pd.concat(evidence.measured(f"H_{end}", variant="sp") for end in ("smallest", "largest"))
    at = base(evidence)
    if at is not None:
        rows = rows[rows["width"] == at[1]]
    return lines(
        rows.assign(end=rows["quantity"].str.removeprefix("H_")),
        Axis("depth", "H, hidden layers", log=True),
        Axis("value", "eigenvalue of H", log=True),
        "end",
    )


CLAIMS = (
    Claim(
        "D's spectrum has the edges of a shifted Marchenko-Pastur law",
        "T eqs. C.15, C.16",
        "1 and 5",
        "0.05 and 0.5",
        diagonal_edges,
    ),
    Claim(
        "D's spectrum does not depend on depth",
        "T figs. C.1, C.2",
        "the same density",
        "densities at most 0.1 apart, in total variation",
        diagonal_is_independent_of_depth,
    ),
    Claim(
        "unit weights with a = N^(-1/2) are equivalent to weights of variance 1/N",
        "T figs. C.1 to C.6",
        "the same spectra of D, O and H",
        "densities at most 0.1 apart",
        normalisations_agree,
    ),
    Claim(
        "O's spectrum is slightly broader than the semicircle",
        "T eq. C.17, figs. C.3, C.4",
        "edges beyond +-2; +-2 sqrt(2) at great depth, as two blocks a row give",
        "between 2 and 5% beyond 2 sqrt(2)",
        broader_than_semicircle,
    ),
    Claim(
        "O's spectrum is a semicircle",
        "T eq. C.17",
        "the density with the variance of two blocks a row",
        "at most 0.1 apart",
        off_diagonal_law,
    ),
    Claim(
        "O's spectrum depends on both depth and width",
        "T figs. C.3, C.4",
        "densities differ along both",
        "twice as far apart as D's along depth",
        off_diagonal_depends_on_both,
    ),
    Claim(
        "Weyl's upper bound on H is tight",
        "T figs. C.5 to C.7",
        "7",
        "largest eigenvalue 6 to 7 at the greatest width",
        weyl_is_tight,
    ),
    Claim(
        "Weyl's lower bound, -1, is not reached: H is positive definite",
        "T C.2.3",
        "all eigenvalues positive",
        "no exception",
        lower_bound_is_loose,
    ),
    Claim(
        "depth moves both extremes of H, the smallest eigenvalue most",
        "T C.2.3, fig. C.7",
        "the largest rises, the smallest falls by a greater factor",
        "at least twice the factor",
        depth_moves_smallest_most,
    ),
)

RANDOM_MATRICES = (
    Recipe(
        name="random-matrices",
        title="the activity Hessian's spectrum against random-matrix theory",
        source="T C.2.3, figs. C.1 to C.7",
        small=Setting(
            "dense spectra of linear networks without skips, H of 2 to 16 at N = 128 and N of 2 "
            "to 128 at H = 16",
            calculate=lambda _: spectra((2, 8, 32, 128), (2, 8, 16), (128, 16)),
            seconds=30,
        ),
        full=Setting(
            "the same, H of 2 to 128 at N = 128 and N of 2 to 128 at H = 128",
            calculate=lambda _: spectra((2, 8, 32, 128), (2, 8, 32, 128), (128, 128)),
            seconds=7200,
        ),
        claims=CLAIMS,
        figures={
            "fig-c.1-c.3-c.5-spectra-by-depth": lambda evidence: spectrum(evidence, "depth"),
            "fig-c.2-c.4-c.6-spectra-by-width": lambda evidence: spectrum(evidence, "width"),
            "fig-c.7-extremes": extremes_by_size,
        },
        choices="SP here has Gaussian weights of variance 1/N, as C.2.3 assumes, instead of "
        "C.4's uniform ones, whose variance is a third and whose edges differ. The output has "
        "N units, since eq. C.15 treats all blocks of D alike. The captions do not list "
        "sizes: powers of two up to the ones they name.",
    ),
)
