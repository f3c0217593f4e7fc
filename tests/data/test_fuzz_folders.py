"""Random folders: every file on disk is used as it stands, with the class of its folder, or counted with its reason."""

import io
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mvsearch.data import find_encoded, load
from mvsearch.errors import DataError

SIZE = 12
PARTS = [(), ("train", "test"), ("Training", "Testing"), ("img_TRAIN", "img_valid"), ("train", "val", "test")]
PLACES = ["", "deep", "deep/er", ".hidden", "deep/__MACOSX/x", "@eaDir/a.png"]
STEMS = ["a", "A", "b c", "ключ", "new\nline", ".dot", "a.1", "x" * 60, os.fsdecode(b"caf\xe9")]

Make = Callable[[np.random.Generator, int], tuple[str, bytes, np.ndarray | None]]
"""The suffix and the bytes of a file, and the pixels that are right for it; None if it must be left out."""


def encoded(image, kind, orientation, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}), **options)
    return file.getvalue()


def upright(content):
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return ImageOps.exif_transpose(image)


def centre(image):
    return np.asarray(ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BILINEAR))


def in_format(suffix, kind, mode="RGB", **options) -> Make:
    def make(rng, orientation):
        image = Image.fromarray(rng.integers(0, 256, (14, 18, 3), dtype=np.uint8)).convert(mode)
        content = encoded(image, kind, orientation, **options)
        return suffix, content, centre(upright(content).convert("RGB"))

    return make


def deep(rng, orientation):
    content = encoded(Image.fromarray(rng.integers(0, 65536, (14, 18), dtype=np.uint16)), "PNG", orientation)
    values = np.asarray(upright(content)) >> 8
    return ".png", content, centre(Image.fromarray(values.astype(np.uint8)).convert("RGB"))


def transparent(rng, orientation):
    content = encoded(Image.fromarray(rng.integers(0, 256, (14, 18, 4), dtype=np.uint8)), "PNG", orientation)
    image = upright(content)
    white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return ".png", content, centre(white.convert("RGB"))


def left_out(suffix, content=b"") -> Make:
    return lambda rng, orientation: (suffix, content, None)


def cut_off(rng, orientation):
    content = in_format(".png", "PNG")(rng, orientation)[1]
    return ".png", content[: len(content) - 60], None


def floating(rng, orientation):
    return ".tif", encoded(Image.fromarray(rng.random((14, 18), np.float32)), "TIFF", orientation), None


KINDS: list[Make] = [
    *(in_format(".png", "PNG"), in_format(".JPG", "JPEG"), in_format(".tiff", "TIFF"), in_format(".bmp", "BMP")),
    *(in_format(".png", "PNG", "L"), in_format(".png", "PNG", "1"), in_format(".PNG", "PNG", "P")),
    *(in_format(".gif", "GIF"), in_format(".jpeg", "JPEG", "CMYK"), in_format(".webp", "WEBP", lossless=True)),
    *(in_format(".jpg", "PNG"), deep, transparent),
    *(left_out(".jpg"), left_out(".png", b"<html>"), left_out(".txt", b"x"), left_out(".heic", b"x"), left_out("")),
    *(cut_off, floating),
]

file_plans = st.tuples(
    *(st.integers(0, 2), st.integers(0, 1), st.sampled_from(PLACES), st.sampled_from(STEMS)),
    *(st.integers(0, len(KINDS) - 1), st.integers(1, 8), st.sampled_from(["file", "link", "dead link"])),
)


@st.composite
def folders(draw):
    parts = draw(st.sampled_from(PARTS))
    wrapper = draw(st.sampled_from(["", "archive"]))
    strays = draw(st.lists(st.sampled_from(["README.md", "labels.csv", ".DS_Store", "stray"]), unique=True))
    return parts, wrapper, strays, draw(st.lists(file_plans, max_size=12)), draw(st.integers(0, 2**32 - 1))


class Folder:
    """A folder on disk: `used` maps each image to its class and pixels; `files` counts all, links included."""

    def __init__(self, root: Path, plan):
        parts, wrapper, strays, files, seed = plan
        self.root, self.used, self.files = root / "set", {}, 0
        self.elsewhere, self.rng = root / "elsewhere", np.random.default_rng(seed)
        self.elsewhere.mkdir()
        base = self.root / wrapper
        for part in parts or ("",):
            for name in ("cat", "dog"):
                left_out = part == "val" and len(parts) == 3
                for i in range(3):  # whole images, so that no class is refused for what else is in it
                    self.add(base / part / name / f"whole{i}", KINDS[0], 1, "file", name, not left_out)
        for part, label, place, stem, kind, orientation, how in files:
            chosen = parts[part % len(parts)] if parts else ""
            name, visible = ("cat", "dog")[label], "." not in place and "__" not in place and "@" not in place
            used = visible and not stem.startswith(".") and not (chosen == "val" and len(parts) == 3)
            self.add(base / chosen / name / place / stem, KINDS[kind], orientation, how, name, used)
        for stray in strays:
            (base / stray).write_bytes(b"x")
            self.files += 1

    def add(self, stem: Path, make: Make, orientation: int, how: str, label: str, use: bool):
        suffix, content, pixels = make(self.rng, orientation)
        path = stem.with_name(stem.name + suffix)
        if os.path.lexists(path):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files += 1
        if how == "file":
            path.write_bytes(content)
        else:
            target = self.elsewhere / str(self.files)
            path.symlink_to(target)
            if how == "link":
                target.write_bytes(content)
        if use and pixels is not None and how != "dead link":
            self.used[path] = (label, pixels)


def decode(folder: Folder):
    """The decoded set; None if it is refused because most images of a class in a part are broken."""
    try:
        return load("folder", path=folder.root, size=SIZE, test_fraction=0.5)
    except DataError as refusal:
        if "cannot be read" not in str(refusal):
            raise
        return None


def check(folder: Folder):
    streamed = find_encoded(folder.root, test_fraction=0.5)
    labels = {}
    for part in (streamed.train, streamed.test):
        labels |= {part.open(i): part.classes[label] for i, label in enumerate(part.labels)}
    expected = {path: label for path, (label, _) in folder.used.items()}
    assert {path: label for path, label in labels.items() if path in expected} == expected
    assert len(labels) == len(streamed.train) + len(streamed.test)
    assert len(labels) + sum(entry.count for entry in streamed.skipped) == folder.files

    if (decoded := decode(folder)) is None:
        return
    found = Counter[tuple[str, bytes]]()
    for part in (decoded.train, decoded.test):
        names = (part.classes[label] for label in part.labels)
        found.update(zip(names, (image.tobytes() for image in part.pixels), strict=True))
    assert found == Counter((label, pixels.tobytes()) for label, pixels in folder.used.values())
    assert sum(found.values()) + sum(entry.count for entry in decoded.skipped) == folder.files
    for text in (*decoded.assumptions, *(entry.example for entry in decoded.skipped)):
        assert text.encode()
        assert "\n" not in text


@settings(max_examples=examples(40, 600), deadline=None)
@given(folders())
def test_every_file_is_used_as_it_stands_or_counted(plan):
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVSEARCH_CACHE", str(Path(root) / "cache"))
        check(Folder(Path(root), plan))
