"""Data sets in files: real ones if present, small ones in the same formats, and damaged files."""

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from pccore import data
from pccore.data import DatasetError, DatasetInfo
from pccore.data.cifar10 import Cifar10, parse_batch
from pccore.data.dataset import DataSource
from pccore.data.mnist import IdxFile, IdxImages

NAMES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
PIXELS = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)
ARRAYS = (PIXELS[:4], LABELS[:4], PIXELS[4:], LABELS[4:])


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


CONTENTS = dict(zip(NAMES, map(idx_bytes, ARRAYS), strict=True))


def small_mnist(mirrors: tuple[str, ...] = ()) -> IdxImages:
    first, second, third, fourth = (
        IdxFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in CONTENTS.items()
    )
    info = DatasetInfo("small", "", "classification", 4, 3, 4, 2, embedded=False)
    return IdxImages(info, (first, second, third, fourth), mirrors, 10.0, 5.0)


def write_small_mnist(folder: Path, packed: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENTS.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Return a function that serves a folder over HTTP on this machine and returns its address."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    servers = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def shared_data_directory(name: str) -> Path:
    """Return the data directory if it has the real files of a data set; skip the test otherwise."""
    root = data.directory()
    try:
        data.find(name, root)
    except DatasetError:
        pytest.skip(f"{name} is not in the data directory {root}: set MUPC_DATA")
    return root


# Means and standard deviations of pixel / 255 from the usual tutorials on these data sets.
@pytest.mark.parametrize(
    ("name", "mean", "std"), [("mnist", 0.1307, 0.3081), ("fashion_mnist", 0.2860, 0.3530)]
)
def test_real_data_set(name: str, mean: float, std: float) -> None:
    real = data.load(name, shared_data_directory(name))
    assert (real.train_x.shape, real.test_x.shape) == ((60_000, 784), (10_000, 784))
    assert (real.train_x.dtype, real.output_size) == (np.uint8, 10)
    assert (real.mean, real.std) == (255 * mean, 255 * std)
    assert real.train_x.mean() / 255 == pytest.approx(mean, abs=5e-4)
    assert real.train_x.std() / 255 == pytest.approx(std, abs=5e-4)


def test_first_labels_of_mnist() -> None:
    mnist = data.load("mnist", shared_data_directory("mnist"))
    assert mnist.train_y[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test_y[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("folder", ["small", "."])
def test_finds_files_in_either_layout(tmp_path: Path, folder: str, packed: bool) -> None:
    write_small_mnist(tmp_path / folder, packed)
    small = small_mnist().load(tmp_path)
    np.testing.assert_array_equal(small.train_x, PIXELS[:4].reshape(4, 4))
    np.testing.assert_array_equal(small.test_x, PIXELS[4:].reshape(2, 4))
    np.testing.assert_array_equal(small.train_y, LABELS[:4])
    np.testing.assert_array_equal(small.test_y, LABELS[4:])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_missing_data_set_error_names_folders_and_remedy(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        data.load(name, tmp_path)
    sentence = str(error.value)
    for part in (f"data set '{name}'", str(tmp_path / name), "MUPC_DATA", "--data-dir"):
        assert part in sentence
    assert f"mupc datasets --fetch {name}" in sentence


def test_missing_file_error_names_the_file(tmp_path: Path) -> None:
    write_small_mnist(tmp_path)
    (tmp_path / "t10k-labels.gz").unlink()
    with pytest.raises(DatasetError, match=r"'small' needs t10k-labels\[\.gz\]"):
        small_mnist().load(tmp_path)


def flip_one_bit(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


GOOD = CONTENTS["train-images"]
DAMAGES = {
    "flipped": (
        flip_one_bit(GOOD),
        "SHA-256 of its content is [0-9a-f]{64}, expected [0-9a-f]{64}",
    ),
    "cut": (GOOD[:-1], f"unpacks to {len(GOOD) - 1} bytes, expected {len(GOOD)}"),
    "longer": (GOOD + b"\0", f"more than the {len(GOOD)} bytes"),
    "empty": (b"", "unpacks to 0 bytes"),
    "another file's": (bytes(len(GOOD)), "belongs to another data set"),
}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("content", "cause"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_error_names_file_and_expectation(
    tmp_path: Path, content: bytes, cause: str, packed: bool
) -> None:
    write_small_mnist(tmp_path, packed)
    path = tmp_path / ("train-images.gz" if packed else "train-images")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DatasetError, match=cause) as error:
        small_mnist().load(tmp_path)
    assert str(path) in str(error.value)


def test_fetch_downloads_missing_or_damaged_files(
    tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    write_small_mnist(tmp_path / "mirror")
    source, target = small_mnist((serve(tmp_path / "mirror"),)), tmp_path / "data"
    write_small_mnist(target / "small")
    intact = target / "small" / "train-images.gz"
    before = intact.stat().st_mtime_ns
    (target / "small" / "t10k-images.gz").write_bytes(b"damaged")
    (target / "small" / "t10k-labels.gz").unlink()
    assert source.fetch(target) == [target / "small" / f"{name}.gz" for name in NAMES]
    assert source.load(target).digest == source.load(tmp_path / "mirror").digest
    assert intact.stat().st_mtime_ns == before
    assert sorted(path.name for path in (target / "small").iterdir()) == sorted(
        f"{name}.gz" for name in NAMES
    )


def test_fetch_tries_the_next_mirror(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    write_small_mnist(tmp_path / "bad")
    (tmp_path / "bad" / "train-images.gz").write_bytes(gzip.compress(flip_one_bit(GOOD)))
    (tmp_path / "bad" / "t10k-images.gz").unlink()
    write_small_mnist(tmp_path / "good")
    source = small_mnist((serve(tmp_path / "bad"), serve(tmp_path / "good")))
    source.fetch(tmp_path / "data")
    assert source.load(tmp_path / "data").digest == source.load(tmp_path / "good").digest


def test_failed_fetch_leaves_no_file(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    write_small_mnist(tmp_path / "bad")
    (tmp_path / "bad" / "train-images.gz").write_bytes(gzip.compress(GOOD)[:-9])
    address = serve(tmp_path / "bad")
    for mirrors in ((address,), (address + "absent/",), ("http://127.0.0.1:9/",)):
        with pytest.raises(DatasetError, match=r"train-images\.gz could not be fetched \(127"):
            small_mnist(mirrors).fetch(tmp_path / "data")
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    assert list((tmp_path / "data" / "small").iterdir()) == []


def test_unwritable_folder_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"cannot be written: .* MUPC_DATA or --data-dir"):
        small_mnist(("http://127.0.0.1:9/",)).fetch(tmp_path / "file")


PICTURES = 4
BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")


def cifar_batch(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    records = random.integers(0, 256, (PICTURES, 3073), np.uint8)
    records[:, 0] = [0, 9, 3, seed]
    return records.tobytes()


def write_archive(path: Path, members: dict[str, bytes]) -> Cifar10:
    """Write a tar.gz of regular files and return a loader with the digest of this archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return Cifar10(PICTURES, hashlib.sha256(path.read_bytes()).hexdigest(), mirrors=())


CIFAR = {f"cifar-10-batches-bin/{name}": cifar_batch(i) for i, name in enumerate(BATCHES)}
ARCHIVE = "cifar-10-binary.tar.gz"


def assert_is_small_cifar(loaded: data.Dataset) -> None:
    for batch in range(6):
        expected = np.frombuffer(cifar_batch(batch), np.uint8).reshape(PICTURES, 3073)
        x, y = (loaded.test_x, loaded.test_y) if batch == 5 else (loaded.train_x, loaded.train_y)
        rows = slice(0, 4) if batch == 5 else slice(4 * batch, 4 * batch + 4)
        np.testing.assert_array_equal(x[rows], expected[:, 1:])
        np.testing.assert_array_equal(y[rows], expected[:, 0])
    assert (loaded.output_size, len(loaded.train_x), len(loaded.test_x)) == (10, 20, 4)


@pytest.mark.parametrize(
    "folder", ["cifar10", ".", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"]
)
def test_cifar10_loads_batch_files(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(BATCHES):
        (tmp_path / folder / name).write_bytes(cifar_batch(i))
    assert_is_small_cifar(Cifar10(PICTURES).load(tmp_path))


@pytest.mark.parametrize("folder", ["cifar10", "."])
def test_cifar10_loads_the_archive(tmp_path: Path, folder: str) -> None:
    others = {"cifar-10-batches-bin/readme.html": b"x", "../../evil": cifar_batch(6)}
    source = write_archive(tmp_path / folder / ARCHIVE, others | CIFAR)
    assert_is_small_cifar(source.load(tmp_path))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [ARCHIVE]


def test_rejects_archive_with_wrong_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(tmp_path / ARCHIVE, CIFAR)
    monkeypatch.setattr(tarfile, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(DatasetError, match=r"cifar-10-binary\.tar\.gz is damaged .* SHA-256"):
        Cifar10(PICTURES).load(tmp_path)


def test_rejects_archive_without_a_batch(tmp_path: Path) -> None:
    for name, change in (("data_batch_3.bin", {}), ("data_batch_1.bin", {"x": b"short"})):
        members = {key: CIFAR[key] for key in CIFAR if not key.endswith(name)} | change
        source = write_archive(tmp_path / ARCHIVE, members)
        with pytest.raises(DatasetError, match=rf"has no cifar-10-batches-bin/{name} of 12292"):
            source.load(tmp_path)


def test_ignores_links_in_the_archive(tmp_path: Path) -> None:
    path = tmp_path / ARCHIVE
    with tarfile.open(path, "w:gz") as tar:
        for name in CIFAR:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(member)
    source = Cifar10(PICTURES, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(DatasetError, match=r"has no cifar-10-batches-bin/data_batch_1\.bin"):
        source.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (cifar_batch(0)[:-1], "12291 bytes long, expected 4 pictures of 3073 bytes, 12292 in all"),
        (cifar_batch(0) + b"\0", "12293 bytes long"),
        (b"\x0a" + cifar_batch(0)[1:], "label 10, expected 0 to 9"),
    ],
)
def test_rejects_damaged_batch(content: bytes, cause: str) -> None:
    with pytest.raises(DatasetError, match=f"some/file is damaged: .*{cause}"):
        parse_batch(content, PICTURES, "some/file")


def test_cifar10_fetches_once(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    trusted = write_archive(tmp_path / "mirror" / ARCHIVE, CIFAR)
    source = Cifar10(PICTURES, trusted.sha256, (serve(tmp_path / "mirror") + ARCHIVE,))
    paths = source.fetch(tmp_path / "data")
    assert paths == [tmp_path / "data" / "cifar10" / ARCHIVE]
    assert_is_small_cifar(source.load(tmp_path / "data"))
    unreachable: DataSource = Cifar10(PICTURES, trusted.sha256, ("http://127.0.0.1:9/",))
    assert unreachable.fetch(tmp_path / "data") == paths
