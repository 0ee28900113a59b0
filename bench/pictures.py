"""Draw the pictures of docs/motion: fields, what is left of them, and frames before and after (needs Matplotlib)."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from bench.registrars import Array, ours
from galvo import motion
from galvo.testing.movie import TwoPhotonMovie

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "motion"
SIDE, FRAMES, SHOWN, BORDER, STEP = 256, 16, 5, 25, 16
ESTIMATORS = {
    "bayes": {"estimator": "bayes"},
    "variational, lean": {"estimator": "variational", "preset": "quality"},
    "rigid": {"estimator": "rigid"},
}


def movie() -> tuple[Array, Array, Array]:
    """Frames (T, Y, X, 1), a reference and the true displacements."""
    made = TwoPhotonMovie(frames=FRAMES, height=SIDE, width=SIDE, photons=4.0, offset=200.0, elastic=1.5, seed=8)
    frames = np.clip(np.moveaxis(made.read(0, FRAMES), 1, -1)[..., :1], 0, None).astype(np.uint16)
    clean = np.moveaxis(made.reference(), 0, -1)[..., :1]
    noisy = np.random.default_rng(0).poisson(clean.astype(np.float64) * 50) / 50
    return np.ascontiguousarray(frames), (noisy * made.gain + made.offset).astype(np.float32), made.displacement()


def draw_field(axes: Any, field: Array, title: str, largest: float) -> Any:
    """Length as color, direction as arrows, without the mean."""
    inner = field - field.mean(axis=(0, 1))
    shown = axes.imshow(np.linalg.norm(inner, axis=-1), vmin=0, vmax=largest, cmap="cividis")
    y, x = np.mgrid[STEP // 2 : SIDE : STEP, STEP // 2 : SIDE : STEP]
    axes.quiver(x, y, inner[y, x, 0], -inner[y, x, 1], color="white", scale=largest * 14, width=0.004)
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
    return shown


def fields_picture(plt: Any, frames: Array, reference: Array, truth: Array, path: Path) -> None:
    """True and estimated elastic fields of one frame, and what is left of them."""
    figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), layout="constrained")
    largest = float(np.linalg.norm(truth[SHOWN] - truth[SHOWN].mean(axis=(0, 1)), axis=-1).max())
    fields = draw_field(axes[0, 0], truth[SHOWN], "true field, mean taken off", largest)
    axes[1, 0].imshow(frames[SHOWN, ..., 0], cmap="gray", vmax=np.percentile(frames[SHOWN], 99.5))
    axes[1, 0].set_title("the frame", fontsize=9)
    axes[1, 0].set_axis_off()
    for place, (name, params) in enumerate(ESTIMATORS.items(), 1):
        found = ours(frames, reference, **params)
        error = np.linalg.norm(found - truth, axis=-1)
        mean = error[:, BORDER:-BORDER, BORDER:-BORDER].mean()
        draw_field(axes[0, place], found[SHOWN], name, largest)
        left = axes[1, place].imshow(error[SHOWN], vmin=0, vmax=1, cmap="magma")
        axes[1, place].set_title(f"error, mean of all frames {mean:.2f} px", fontsize=9)
        axes[1, place].set_axis_off()
    figure.colorbar(fields, ax=axes[0], label="px", shrink=0.8)
    figure.colorbar(left, ax=axes[1], label="px", shrink=0.8)
    figure.savefig(path, dpi=80)


def residuals_picture(plt: Any, frames: Array, reference: Array, path: Path) -> None:
    """Mean of the movie before and after, and the difference of one frame from the reference."""
    corrected = motion.warp(frames, ours(frames, reference))
    before, after = frames.mean(axis=0)[..., 0], corrected.mean(axis=0)[..., 0]
    smooth = np.ones((3, 3)) / 9
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.1), layout="constrained")
    low, high = np.percentile(reference, (1, 99.7))
    for place, (image, title) in enumerate(((before, "mean before"), (after, "mean after"))):
        axes[place].imshow(image, cmap="gray", vmin=low, vmax=high)
        axes[place].set_title(title, fontsize=9)
    for place, (image, title) in enumerate(((frames, "frame - reference, before"), (corrected, "after")), 2):
        left = image[SHOWN, ..., 0].astype(np.float64) - reference[..., 0]
        blurred = sum(smooth[i, j] * np.roll(left, (i - 1, j - 1), (0, 1)) for i in range(3) for j in range(3))
        axes[place].imshow(blurred, cmap="PuOr", vmin=-(high - low) / 2, vmax=(high - low) / 2)
        axes[place].set_title(title, fontsize=9)
    for one in axes:
        one.set_axis_off()
    figure.savefig(path, dpi=80)


def main() -> None:
    commands = argparse.ArgumentParser(description=__doc__)
    commands.add_argument("--folder", type=Path, default=FOLDER)
    folder = commands.parse_args().folder
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    frames, reference, truth = movie()
    fields_picture(plt, frames, reference, truth, folder / "fields.png")
    residuals_picture(plt, frames, reference, folder / "residuals.png")


if __name__ == "__main__":
    main()
