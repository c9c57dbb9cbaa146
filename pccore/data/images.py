"""Pictures in PNG or JPEG as pixels, all of one size: (height, width), or (3, height, width).

Colours come one after the other, as in CIFAR-10 and as convolutional networks take them.

The size that a picture declares is read before its pixels, as a file of a few bytes can declare
gigabytes.
"""

import io
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pccore.data.errors import DatasetError
from pccore.data.files import MOST_BYTES, read_unpacked, unreadable

SUFFIXES = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG")
_MOST_PIXELS = 2**24  # 4096 x 4096
_MOST_FILE_BYTES = 2**27
_GREY = ("1", "L")


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of a folder by the subfolder that they are in, sorted by name.

    Raises:
        DatasetError: the folder cannot be read.
    """
    found = {}
    for place in _sorted(folder):
        if place.is_dir() and not place.name.startswith("."):
            pictures = [p for p in _sorted(place) if p.suffix.lower() in SUFFIXES]
            if pictures:
                found[place.name] = pictures
    return found


def read_folders(folders: dict[str, list[Path]]) -> tuple[np.ndarray, list[str]]:
    """Read the pictures of class folders.

    Returns:
        Pixels (n, height, width) or (n, 3, height, width) uint8, and the name of the class of each.

    Raises:
        DatasetError: a picture cannot be read, or has another size or other colours than the first.
    """
    paths = [path for pictures in folders.values() for path in pictures]
    labels = [name for name, pictures in folders.items() for _ in pictures]
    return stacked((path, read_unpacked(path, _MOST_FILE_BYTES)) for path in paths), labels


def decoded(contents: Iterable[bytes], source: str) -> np.ndarray:
    """Return the pixels of pictures that are in the cells of a column.

    Raises:
        DatasetError: as for `read_folders`.
    """
    return stacked((f"{source}, row {row}", content) for row, content in enumerate(contents))


def stacked(pictures: Iterable[tuple[Path | str, bytes]]) -> np.ndarray:
    """Return the pixels of pictures, each given with its source.

    Raises:
        DatasetError: a picture is damaged, or has another size or other colours than the first.
    """
    pixels: list[np.ndarray] = []
    for source, content in pictures:
        shape = pixels[0].shape if pixels else None
        pixels.append(_pixels(content, source, shape))
        if len(pixels) * pixels[0].nbytes > MOST_BYTES:
            raise DatasetError(
                f"{source} is one picture too many: together they take more than {MOST_BYTES:,} "
                "bytes"
            )
    if not pixels:
        raise DatasetError("there are no pictures")
    return np.stack(pixels)


def _pixels(content: bytes, source: Path | str, expected: tuple[int, ...] | None) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of sizes that are suspicious
            with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
                width, height = picture.size
                if width * height > _MOST_PIXELS:
                    raise DatasetError(
                        f"{source} declares {width} x {height} pixels, more than the "
                        f"{_MOST_PIXELS:,} that are allowed"
                    )
                mode = "L" if picture.mode in _GREY else "RGB"
                shape = (height, width) if mode == "L" else (3, height, width)
                if expected is not None and shape != expected:
                    raise DatasetError(
                        f"{source} is {_in_words(shape)}, the first picture {_in_words(expected)}: "
                        "all must have the same size and colours"
                    )
                if picture.mode.startswith(("I", "F")):
                    raise DatasetError(
                        f"{source} has more than 8 bits per pixel, which are not read: save the "
                        "pictures as arrays in an .npz file"
                    )
                pixels = np.array(picture.convert(mode), np.uint8)
                return pixels if mode == "L" else np.moveaxis(pixels, -1, 0)
    except DatasetError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DatasetError(
            f"{source} declares more than the {_MOST_PIXELS:,} pixels that are allowed"
        ) from None
    except UnidentifiedImageError:
        raise DatasetError(f"{source} is not a picture in PNG or JPEG") from None
    except Exception as error:  # Pillow raises classes of all kinds for damaged files
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(f"{source} is damaged: {cause}") from None


def _in_words(shape: tuple[int, ...]) -> str:
    return f"{shape[-1]} x {shape[-2]} in {'colour' if len(shape) == 3 else 'grey'}"


def _sorted(folder: Path) -> Iterator[Path]:
    try:
        return iter(sorted(folder.iterdir()))
    except OSError as error:
        raise unreadable(folder, error) from error
