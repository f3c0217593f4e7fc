"""Decoding: 8-bit RGB by the file's own depth, upright, on white, or a reason without the name of the file."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from mvsearch.data import _decode, decode_crop, decode_image

SIDE = 32
RAMP = np.tile(np.linspace(0, 65535, SIDE).astype(np.uint16), (SIDE, 1))
COLOURS = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return io.BytesIO(file.getvalue())


def pgm(values, maximum):
    return io.BytesIO(f"P5\n{SIDE} {SIDE}\n{maximum}\n".encode() + values.astype(">u2").tobytes())


@pytest.mark.parametrize(
    "file",
    [
        encode(Image.fromarray(RAMP)),
        encode(Image.fromarray(RAMP), "TIFF"),
        encode(Image.fromarray(65535 - RAMP), "TIFF", tiffinfo={262: 0}),
        encode(Image.fromarray(RAMP), "JPEG2000"),
        pgm(RAMP, 65535),
    ],
    ids=["png", "tiff", "tiff with white as 0", "jpeg 2000", "pgm"],
)
def test_sixteen_bits_are_read_by_their_upper_eight(file):
    image = _decode.read_image(file, SIDE)

    assert (image.pixels == (RAMP >> 8)[..., None]).all()
    assert image.encoding == "16-bit grey"


def test_the_depth_is_the_files_own_and_never_the_brightest_pixels():
    dim = np.full((SIDE, SIDE), 8000, np.uint16)

    assert (decode_image(encode(Image.fromarray(dim)), SIDE)[0] == 31).all()
    assert (decode_image(pgm(dim // 16, 4095), SIDE)[0] == 31).all()


@pytest.mark.parametrize("values", [RAMP.astype(np.int32), RAMP.astype(np.float32) / 65535])
def test_pixels_without_a_known_range_are_refused(values):
    pixels, reason = decode_image(encode(Image.fromarray(values), "TIFF"), SIDE)

    assert pixels is None
    assert "range" in reason


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_other_modes_are_read_as_pillow_converts_them(mode):
    image = Image.fromarray(COLOURS).convert(mode)
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    with Image.open(encode(image, kind)) as reread:
        expected = np.asarray(reread.convert("RGB"))

    assert np.array_equal(decode_image(encode(image, kind), SIDE)[0], expected)


@pytest.mark.parametrize(
    "file",
    [
        encode(Image.fromarray(np.dstack((COLOURS, np.zeros((SIDE, SIDE), np.uint8))))),
        encode(Image.fromarray(COLOURS).convert("P"), transparency=bytes(256)),
        encode(Image.new("L", (SIDE, SIDE), 7), transparency=7),
    ],
    ids=["alpha", "palette", "one transparent grey"],
)
def test_transparent_pixels_are_white(file):
    image = _decode.read_image(file, SIDE)

    assert (image.pixels == 255).all()
    assert "transparent" in image.encoding


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_upright_in_the_centre_and_in_crops(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    file = encode(Image.fromarray(COLOURS[:, :20]), kind, exif=exif, **options)
    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    seen = []

    def draw(height, width):
        seen.append((width, height))
        return np.array([0.0, 0.0, 20.0, 20.0]), False

    assert np.array_equal(decode_image(file, 20)[0], ImageOps.fit(upright, (20, 20), Image.Resampling.BILINEAR))
    assert np.array_equal(decode_crop(file, 20, draw, "bilinear")[0], np.asarray(upright)[:20, :20])
    assert seen == [upright.size]


def test_an_image_is_stretched_by_the_interpolation_that_is_asked_for():
    image = Image.fromarray(COLOURS[:, :20])
    found, _ = decode_image(encode(image), 12, fit="stretch", interpolation="bicubic")
    assert np.array_equal(found, image.resize((12, 12), Image.Resampling.BICUBIC))
    found, _ = decode_image(encode(image), 12, interpolation="bicubic")
    assert np.array_equal(found, ImageOps.fit(image, (12, 12), Image.Resampling.BICUBIC))
    found, _ = decode_image(encode(image), 12, interpolation="random")  # one of timm's
    assert np.array_equal(found, ImageOps.fit(image, (12, 12), Image.Resampling.BILINEAR))


def test_of_several_frames_the_first_is_read_and_the_others_are_noted():
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "TIFF"):
        image = _decode.read_image(encode(frames[0], kind, save_all=True, append_images=frames[1:]), SIDE)

        assert (image.pixels == (255, 0, 0)).all()
        assert "several frames" in image.encoding


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not an image"),
        (encode(Image.fromarray(COLOURS)).getvalue()[:900], "truncated"),
    ],
)
def test_broken_images_have_a_reason_without_figures_or_file_names(tmp_path, content, reason):
    (tmp_path / "17.jpg").write_bytes(content)
    pixels, fault = decode_image(tmp_path / "17.jpg", SIDE)

    assert pixels is None
    assert reason in fault
    assert "17" not in fault


def test_what_was_applied_to_the_pixels_is_said_with_its_count():
    encodings = {"16-bit grey": 3, "RGB, transparent": 2, "palette, transparent, several frames": 1, "grey": 9}
    sentences = list(_decode.encoding_assumptions(encodings))

    assert [sentence.split()[0] for sentence in sentences] == ["3", "3", "1"]
