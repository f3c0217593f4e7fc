"""Fashion-MNIST: 70,000 real photographs of clothes, grey, 28 px, ten balanced classes.

Two rows and columns of zeros are added on every side, which makes 32 px, as LeNet's authors did for MNIST: a network
that halves the size five times then needs no rounding.
"""

import gzip
import hashlib
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mvsearch.data._cache import cache_dir, cache_faults
from mvsearch.data._debian import reason, unpack_package
from mvsearch.data._decoded import Decoding, load_or_decode
from mvsearch.data._images import DataSet, DecodedImage, Request
from mvsearch.data._source import GIVE_PATH, DataSource
from mvsearch.errors import DataError
from mvsearch.utils.progress import Progress, track

SIZE = 32
LICENCE = "MIT (Expat), Zalando SE"
SOURCE = "https://github.com/zalandoresearch/fashion-mnist"

PACKAGE = "dataset-fashion-mnist"
PACKAGED = Path("/usr/share/datasets/fashion-mnist")
ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
TIMEOUT_S = 5

# SHA-256 of what is inside the .gz files: the authors and Debian packed the same bytes differently.
FILES = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def get(path: Path | None, progress: Progress | None) -> Path:
    """The folder of the four .gz files: the user's, Debian's, the cache's; else fetched into the cache."""
    if path is not None:
        if fault := _fault(path):
            raise DataError(f"{fault}; give a folder with the four .gz files of {SOURCE}.", at=path)
        return path
    own = cache_dir() / "fashion_mnist"
    for folder in (PACKAGED, own):
        if _fault(folder) is None:
            return folder
    failures = []
    for fetch in (_download, _unpack_package):
        failure = _try(fetch, own, progress)
        if failure is None:
            return own
        failures.append(failure)
    raise DataError(
        f"neither {PACKAGED} nor {own} contains the four .gz files, and they could not be fetched "
        f"({'; '.join(failures)}); install Debian's package {PACKAGE}, or put the files of {SOURCE} "
        f"into {own}; if you have them elsewhere, {GIVE_PATH}.",
        at="fashion_mnist",
    )


def out_of_reach() -> str | None:
    """Why `get` cannot get the files on this machine, as far as that is known without fetching them; else None."""
    if any(_fault(folder) is None for folder in (PACKAGED, cache_dir() / "fashion_mnist")):
        return None
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        return None
    import urllib.request
    from http.client import HTTPException

    smallest = urllib.request.Request(f"{ADDRESS}/t10k-labels-idx1-ubyte.gz", method="HEAD")
    try:
        urllib.request.urlopen(smallest, timeout=TIMEOUT_S).close()
    except (OSError, HTTPException) as fault:
        return f"{ADDRESS} does not respond ({reason(fault)}), and there is no apt-get"
    return None


def load(request: Request, progress: Progress | None) -> DataSet:
    """The published split, which has no settings."""
    request.only_size("fashion_mnist", SIZE)
    if request.path is not None:
        get(request.path, progress)  # a wrong path is an error even if the images are in the cache

    def decode() -> Decoding:
        folder = get(request.path, progress)
        return Decoding(CLASSES, _images(folder, "train", progress), _images(folder, "t10k", progress))

    return load_or_decode("fashion_mnist", list(FILES.values()), decode, source=SOURCE, licence=LICENCE)


def check(path: Path | None, progress: Progress | None) -> tuple[str, ...]:
    """Reads every file: `get` accepts only those with the SHA-256 of the published ones."""
    folder = get(path, progress)
    return tuple(f"{folder / name}: its SHA-256 is that of the published set." for name in FILES)


def _try(fetch: Callable[[Path, Progress | None], None], folder: Path, progress: Progress | None) -> str | None:
    """Fetch the files in one way; the reason if that fails, else None."""
    from http.client import HTTPException

    with cache_faults():
        folder.mkdir(parents=True, exist_ok=True)
    try:
        fetch(folder, progress)
    except (OSError, HTTPException, subprocess.SubprocessError) as fault:
        return f"{fetch.__name__.strip('_')}: {reason(fault)}"
    return _fault(folder)


def _download(folder: Path, progress: Progress | None) -> None:
    import urllib.request

    # The smallest files first, to notice a blocked network after one time-out.
    for name in sorted(FILES, key=lambda name: "images" in name):
        with urllib.request.urlopen(f"{ADDRESS}/{name}", timeout=TIMEOUT_S) as answer:
            length = int(answer.headers.get("Content-Length", 0))
            chunks = iter(lambda: answer.read(1 << 16), b"")
            body = b"".join(track(chunks, f"fetch {name}", -(-length // (1 << 16)), progress))
        _write(folder, name, body)


def _unpack_package(folder: Path, progress: Progress | None) -> None:
    with unpack_package(PACKAGE, folder, progress) as files:
        for name in FILES:
            _write(folder, name, (files / PACKAGED.relative_to("/") / name).read_bytes())


def _write(folder: Path, name: str, body: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        file.write(body)
    Path(file.name).replace(folder / name)


def _fault(folder: Path) -> str | None:
    """What is wrong with the first file that is missing or not the published one; None if all are right."""
    for name, expected in FILES.items():
        try:
            sha256 = hashlib.sha256(_content(folder / name)).hexdigest()
        except FileNotFoundError:
            return f"{name} is missing"
        except (OSError, EOFError, zlib.error) as fault:
            return f"{name} cannot be read ({fault})"
        if sha256 != expected:
            return f"{name} is not the published file (SHA-256 {sha256[:12]}… inside)"
    return None


def _content(path: Path) -> bytes:
    with gzip.open(path) as file:
        return file.read()


def _images(folder: Path, part: str, progress: Progress | None) -> Iterator[DecodedImage]:
    pixels = np.frombuffer(_content(folder / f"{part}-images-idx3-ubyte.gz"), np.uint8, offset=16)
    labels = np.frombuffer(_content(folder / f"{part}-labels-idx1-ubyte.gz"), np.uint8, offset=8)
    padded = np.pad(pixels.reshape(-1, 28, 28, 1), ((0, 0), (2, 2), (2, 2), (0, 0)))
    yield from track(map(DecodedImage, padded, labels.tolist()), f"decode {part}", len(padded), progress)


DATA_SOURCE = DataSource(
    description="70,000 grey photographs of clothes, 10 classes, 28 px padded to 32 px (the default)",
    licence=LICENCE,
    get=get,
    load=load,
    check=check,
    size=SIZE,
)
