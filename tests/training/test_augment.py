"""Augmentation of batches: Pillow's pictures, the same draws for the same key, labels that say what is seen."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from mvsearch.errors import PlanError
from mvsearch.training import augment as ours
from mvsearch.training.augment import OPERATIONS, augment
from mvsearch.training.recipe import Augmentation

ALL = Augmentation(randaugment=2, erase=0.25, mixup=0.2, cutmix=1.0)
WHOLE = {"crop_area": 1.0, "crop_ratio": 1.0, "flip": False}


@pytest.fixture(scope="module")
def photos():
    folder = Path(find_spec("skimage").origin).parent / "data"
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
    boxes = ((150, 0, 310, 128), (90, 60, 250, 188), (150, 100, 310, 228), (200, 100, 360, 228))
    return [Image.open(folder / name).convert("RGB").crop(box) for name, box in zip(names, boxes, strict=True)]


def batch(images):
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).contiguous()


def apart(tensor, images, rim=0):
    """The most that any pixel differs by, a rim left out."""
    difference = (tensor.int() - batch(images).int()).abs()
    height, width = difference.shape[2:]
    return int(difference[:, :, rim : height - rim, rim : width - rim].max())


POINTWISE = {
    "identity": lambda image, level: image,
    "brightness": lambda image, level: ImageEnhance.Brightness(image).enhance(1 + 0.9 * level),
    "colour": lambda image, level: ImageEnhance.Color(image).enhance(1 + 0.9 * level),
    "contrast": lambda image, level: ImageEnhance.Contrast(image).enhance(1 + 0.9 * level),
    "sharpness": lambda image, level: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * level),
    "posterize": lambda image, level: ImageOps.posterize(image, 8 - round(4 * abs(level))),
    "solarize": lambda image, level: ImageOps.solarize(image, 256 * (1 - abs(level))),
    "autocontrast": lambda image, level: ImageOps.autocontrast(image),
    "equalize": lambda image, level: ImageOps.equalize(image),
}


def centred(a, b, d, e, width, height):
    x, y = width / 2, height / 2
    return a, b, x - a * x - b * y, d, e, y - d * x - e * y


def matrix(name, level, width, height):
    angle = level * np.pi / 6
    return {
        "shear_x": centred(1, 0.3 * level, 0, 1, width, height),
        "shear_y": centred(1, 0, 0.3 * level, 1, width, height),
        "rotate": centred(np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle), width, height),
        "translate_x": (1, 0, round(0.45 * width * level), 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, round(0.45 * height * level)),
    }[name]


@pytest.mark.parametrize("level", [-0.9, -0.3, 0.3, 1.0])
@pytest.mark.parametrize("name", POINTWISE)
def test_values_change_as_in_pillow(photos, name, level):
    found = OPERATIONS[name](batch(photos), torch.full((4,), level))
    assert apart(found, [POINTWISE[name](image, level) for image in photos]) <= 1


@pytest.mark.parametrize("level", [-0.9, 0.3])
@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - set(POINTWISE)))
def test_pixels_move_as_in_pillow(photos, name, level):
    found = OPERATIONS[name](batch(photos), torch.full((4,), level))
    matrices = [matrix(name, level, *image.size) for image in photos]
    moved, inside = [], []
    for image, values in zip(photos, matrices, strict=True):
        white = Image.new("RGB", image.size, "white")
        moved.append(image.transform(image.size, Image.Transform.AFFINE, values, Image.Resampling.BILINEAR))
        inside.append(white.transform(image.size, Image.Transform.AFFINE, values, Image.Resampling.BILINEAR))
    # Pillow does not blend the outermost half pixel with the black around it.
    black = batch(inside).float() == 0
    rim = torch.nn.functional.max_pool2d(black.float(), 5, 1, 2) - (
        -torch.nn.functional.max_pool2d(-black.float(), 5, 1, 2)
    )
    sure = (rim == 0) & torch.nn.functional.pad(torch.ones(1, 1, 124, 156, dtype=torch.bool), (2, 2, 2, 2))
    difference = (found.int() - batch(moved).int()).abs()[sure.expand_as(found)]
    assert sure.float().mean() > 0.85
    assert difference.max() <= 2


def test_a_strength_is_each_images_own(photos):
    same = [photos[0]] * 3
    found = OPERATIONS["rotate"](batch(same), torch.tensor([-0.5, 0.0, 0.5]))
    assert torch.equal(found[1], batch(same)[1])
    assert not torch.equal(found[0], found[2])


def test_there_are_the_fourteen_of_randaugment():
    assert len(OPERATIONS) == 14


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [48, 96, 200])
def test_crops_are_resized_as_in_pillow(photos, size, interpolation):
    boxes = np.array([[0, 0, 160, 128], [10, 20, 40, 60], [100, 3, 60, 125], [159, 127, 1, 1]], dtype=float)
    found = ours.resized_crop(batch(photos), boxes, np.array([False, True, False, True]), size, interpolation)
    expected = [
        image.resize((size, size), Image.Resampling[interpolation.upper()], box=(x, y, x + w, y + h))
        for image, (x, y, w, h) in zip(photos, boxes.tolist(), strict=True)
    ]
    expected[1], expected[3] = ImageOps.mirror(expected[1]), ImageOps.mirror(expected[3])
    assert apart(found, expected) <= 1


def test_crops_stay_inside_and_have_the_areas_and_ratios_asked_for():
    boxes, mirrored = ours.crops(2000, 60, 90, Augmentation(crop_area=0.2), np.random.default_rng(0))
    left, top, wide, high = boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + wide <= 90).all()
    assert (top + high <= 60).all()
    share, ratio = wide * high / 5400, wide / high
    assert 0.19 < share.min() < 0.22
    assert 0.85 < share.max() <= 1
    assert 0.7 < ratio.min() < 0.8 < 1.25 < ratio.max() < 1.4
    assert 0.45 < mirrored.mean() < 0.55


@pytest.mark.parametrize(("height", "width", "box"), [(60, 300, [110, 0, 80, 60]), (300, 60, [0, 110, 60, 80])])
def test_where_no_crop_fits_it_is_the_largest_of_an_allowed_ratio_in_the_middle(height, width, box):
    boxes, _ = ours.crops(5, height, width, Augmentation(crop_area=1), np.random.default_rng(0))
    assert (boxes == box).all()


def test_a_key_is_all_that_draws_depend_on(photos):
    x, labels = batch(photos), torch.arange(4)
    torch.manual_seed(1)
    first = augment(x, labels, ALL, size=64, classes=5, key=(3, 17))
    torch.manual_seed(2)
    again = augment(x, labels, ALL, size=64, classes=5, key=(3, 17))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    for other in ((3, 18), (4, 17), (3, 17, 1), (3 + 2**32, 17)):
        assert not torch.equal(first[0], augment(x, labels, ALL, size=64, classes=5, key=other)[0])


def test_the_images_given_are_left_alone(photos):
    x = batch(photos)
    before = x.clone()
    augment(x, torch.arange(4), ALL, size=64, classes=4, key=(0, 0))
    assert torch.equal(x, before)


def test_without_anything_the_whole_image_and_its_class_come_out():
    x = torch.randint(0, 256, (3, 1, 20, 20), dtype=torch.uint8)
    images, shares = augment(x, torch.tensor([2, 0, 1]), Augmentation(**WHOLE), size=20, classes=3, key=(0,))
    assert torch.equal(images, x.float())
    assert shares.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_shares_of_classes_are_the_shares_that_are_seen(kind):
    # Images of one value each: the mean of a mixed one tells how much of either is in it.
    x = torch.tensor([0, 200], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 40, 30).contiguous()
    for step in range(20):
        how = Augmentation(**WHOLE, **{kind: 1.0})
        images, shares = augment(x, torch.tensor([0, 1]), how, size=32, classes=2, key=(step,))
        assert torch.allclose(images.mean((1, 2, 3)) / 200, shares[:, 1], atol=1e-3)
        assert torch.allclose(shares.sum(1), torch.ones(2))


def test_a_batch_is_mixed_or_cut_as_often_as_not():
    x = torch.tensor([0, 200], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 32, 32).contiguous()
    how = Augmentation(**WHOLE, mixup=0.2, cutmix=1.0)
    batches = [augment(x, torch.tensor([0, 1]), how, size=32, classes=2, key=(9, step))[0] for step in range(200)]
    cut = sum(len(images[0].unique()) == 2 for images in batches)
    assert 70 < cut < 130


def test_as_many_batches_are_mixed_as_asked_for():
    x = torch.tensor([0, 200], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 32, 32).contiguous()
    how = Augmentation(**WHOLE, mixup=0.2, cutmix=1.0, mixed=0.5)
    shares = [augment(x, torch.tensor([0, 1]), how, size=32, classes=2, key=(9, step))[1] for step in range(200)]
    assert 70 < sum(bool((each == torch.eye(2)).all()) for each in shares) < 130


def test_erasing_takes_rectangles_from_the_share_of_images_asked_for():
    x = torch.full((1000, 3, 32, 32), 255, dtype=torch.uint8)
    images, _ = augment(
        x, torch.zeros(1000, dtype=torch.long), Augmentation(**WHOLE, erase=0.25), size=32, classes=2, key=(5,)
    )
    lost = (images == 0).all(1).float().mean((1, 2))
    assert 0.2 < (lost > 0).float().mean() < 0.3
    assert lost[lost > 0].min() > 0.01
    assert 0.25 < lost.max() < 0.37


@pytest.mark.parametrize("wrong", [{"crop_area": 0.0}, {"erase": 1.5}, {"mixup": -0.1}, {"levels": 0}])
def test_a_setting_that_means_nothing_is_refused(wrong):
    with pytest.raises(PlanError, match=next(iter(wrong))):
        Augmentation(**wrong)
