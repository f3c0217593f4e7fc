"""Random mixtures of faults in labelled scenes: each image and label is used as it stands, or counted with a reason."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import BACK, HEIGHT, OBJECT, WIDTH, agrees, draw, save_turned, write_annotation, write_coco, write_voc
from PIL import Image

from mvsearch import data

HELD_OUT = 7
BAD = 3
"""At most so many of the images held out have a fault: less than half."""

Edit = Callable[[Path, dict[str, Any], dict[str, Any]], object]
"""Changes the file of an image, its entry and its annotation."""


@dataclass(frozen=True)
class Case:
    """What is done to an image, how many images, boxes and ignored boxes are left of it, and how much is counted."""

    edit: Edit
    images: int = 1
    boxes: int = 1
    ignored: int = 0
    left_out: int = 0
    tasks: tuple[str, ...] = ("detection", "segmentation")


def turned(orientation: int) -> Case:
    return Case(lambda file, image, _: save_turned(file, draw(colour_of(image)), orientation))


def colour_of(image: dict[str, Any]) -> str:
    return ("cat", "dog")[image["id"] % 2]


def as_other_file(file: Path, image: dict[str, Any], **options: Any) -> None:
    other = file.with_suffix(options.pop("suffix"))
    with Image.open(file) as opened:
        opened.convert(options.pop("mode", "RGB")).save(other, **options)
    file.unlink()
    image["file_name"] = other.name


def resized(width: int, height: int) -> Edit:
    def edit(file: Path, image: dict[str, Any], _: Any) -> None:
        with Image.open(file) as opened:
            opened.resize((width, height)).save(file)

    return edit


def cut_short(file: Path, *_: Any) -> None:
    file.write_bytes(file.read_bytes()[:60])


BOXES, MASKS = ("detection",), ("segmentation",)
GOOD = (
    *map(turned, BACK),
    Case(lambda file, image, one: None),
    Case(lambda file, image, one: as_other_file(file, image, suffix=".jpg", quality=100, subsampling=0)),
    Case(lambda file, image, one: as_other_file(file, image, suffix=".bmp")),
    Case(lambda file, image, one: as_other_file(file, image, suffix=".TIF", mode="RGBA")),
    Case(lambda file, image, one: as_other_file(file, image, suffix=".gif", mode="P")),
    Case(lambda file, image, one: image.update(file_name=str(file.resolve()))),
    Case(lambda file, image, one: image.update(file_name=f"D:\\sets\\{file.name}")),
    Case(lambda file, image, one: image.update(id=str(image["id"]), width=f"{WIDTH}", height=float(HEIGHT))),
    Case(lambda file, image, one: image.update(width=None, height=0)),
    Case(lambda file, image, one: one.update(bbox=[str(value) for value in one["bbox"]], image_id=f"{image['id']}.0")),
    Case(lambda file, image, one: one.update(iscrowd="0", area=None, category_id=str(one["category_id"]))),
    Case(resized(2 * WIDTH, 2 * HEIGHT)),
)
FAULTY = (
    Case(lambda file, image, one: file.unlink(), images=0, boxes=0, left_out=1),
    Case(cut_short, images=0, boxes=0, left_out=1),
    Case(lambda file, *_: file.write_bytes(b""), images=0, boxes=0, left_out=1),
    Case(resized(HEIGHT, WIDTH), images=0, boxes=0, left_out=1),
    Case(lambda file, image, one: one.update(image_id=5000), boxes=0, left_out=1),
    Case(lambda file, image, one: one.update(category_id=[1]), boxes=0, left_out=1),
    Case(lambda file, image, one: one.update(bbox=[1, 1, float("nan"), 3]), boxes=0, left_out=1, tasks=BOXES),
    Case(lambda file, image, one: one.update(bbox=[1, 1, -3, 3]), boxes=0, left_out=1, tasks=BOXES),
    Case(lambda file, image, one: one.update(bbox=[900, 1, 3, 3]), boxes=0, left_out=1, tasks=BOXES),
    Case(lambda file, image, one: one.update(iscrowd="1"), boxes=0, ignored=1, tasks=BOXES),
    Case(lambda file, image, one: one.update(segmentation=[[1, 1, 5, 5]]), boxes=0, left_out=1, tasks=MASKS),
    Case(lambda file, image, one: one.update(segmentation={"size": [1, 1]}), boxes=0, left_out=1, tasks=MASKS),
    Case(lambda file, image, one: file.with_name(f"._{file.name}").write_bytes(b"x"), left_out=1),
    Case(lambda file, image, one: shutil.copy(file, file.with_name(f"copy of {file.name}")), left_out=1),
    Case(lambda file, image, one: file.with_suffix(".txt").write_text("x"), left_out=1),
)  # fmt: skip


def mixture(good: tuple[Case, ...], faulty: tuple[Case, ...]) -> st.SearchStrategy[list[Case]]:
    return st.integers(0, BAD).flatmap(
        lambda bad: st.tuples(
            st.lists(st.sampled_from(faulty), min_size=bad, max_size=bad),
            st.lists(st.sampled_from(good), min_size=HELD_OUT - bad, max_size=HELD_OUT - bad),
        ).flatmap(lambda both: st.permutations([*both[0], *both[1]]))
    )


def check(root: Path, source: str, task: str, cases: list[Case]) -> None:
    found = data.load(source, path=root, size=60, task=task)

    used = [case for case in cases if task in case.tasks]
    untouched = len(cases) - len(used)
    assert len(found.test.pixels) == sum(case.images for case in used) + untouched
    assert sum(entry.count for entry in found.skipped) == sum(case.left_out for case in used)
    assert all(entry.reason and entry.example for entry in found.skipped)
    if task == "detection":
        assert len(found.test.boxes) == sum(case.boxes for case in used) + untouched
        ignored = 0 if found.test.ignored is None else len(found.test.ignored)
        assert ignored == sum(case.ignored for case in used)
    if task == "detection" or all(case.boxes for case in cases if case.images):
        assert agrees(found)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        place = tmp_path_factory.mktemp("scenes")
        yield (place / str(i) for i in count())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(cases=mixture(GOOD, FAULTY))
def test_in_cocos_format(folders, cases):
    root = next(folders)

    def change(about):
        for case, image, one in zip(cases, about["images"], about["annotations"], strict=True):
            case.edit(root / "val" / image["file_name"], image, one)

    write_coco(root, "train", count=2)
    write_coco(root, "val", change, count=HELD_OUT)
    for task in ("detection", "segmentation"):
        check(root, "coco", task, cases)


# VOC


def annotated(text: str, encoding: str = "utf-8", *, width: object = WIDTH, height: object = HEIGHT) -> Edit:
    def edit(root: Path, image: dict[str, Any], _: Any) -> None:
        write_annotation(root, image["id"], text.format(name=colour_of(image)), width, height)
        file = root / "Annotations" / f"{image['id']}.xml"
        declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
        file.write_bytes((declared + file.read_text(encoding="utf-8")).encode(encoding))

    return edit


def at_image(edit: Edit) -> Edit:
    return lambda root, image, one: edit(root / "JPEGImages" / f"{image['id']}.png", image, one)


VOC_GOOD = (
    *(Case(at_image(turned(orientation).edit)) for orientation in BACK),
    Case(annotated(OBJECT)),
    Case(annotated(OBJECT, "latin-1")),
    Case(annotated(OBJECT, "utf-8-sig")),
    Case(annotated(OBJECT, "utf-16")),
    Case(annotated(OBJECT, width="", height=0)),
    Case(annotated(OBJECT.replace("11", "11.0"), width=f"{WIDTH}.0")),
    Case(at_image(lambda file, image, one: as_other_file(file, image, suffix=".JPG", quality=100, subsampling=0))),
    Case(at_image(resized(2 * WIDTH, 2 * HEIGHT))),
)
VOC_FAULTY = (
    Case(at_image(lambda file, *_: file.unlink()), images=0, boxes=0, left_out=1),
    Case(at_image(cut_short), images=0, boxes=0, left_out=1),
    Case(at_image(resized(HEIGHT, WIDTH)), images=0, boxes=0, left_out=1),
    Case(at_image(lambda file, *_: shutil.copy(file, file.with_suffix(".jpg"))), images=0, boxes=0, left_out=1),
    Case(at_image(lambda file, *_: shutil.copy(file, file.with_stem("copy of " + file.stem))), left_out=1),
    Case(at_image(lambda file, *_: file.with_suffix(".md").write_text("x")), left_out=1),
    Case(annotated(OBJECT.replace("<difficult>0", "<difficult>1")), boxes=0, ignored=1, tasks=BOXES),
    Case(annotated(OBJECT.replace("30<", "-3<")), boxes=0, left_out=1, tasks=BOXES),
    Case(annotated(OBJECT.replace("{name}", "yak")), boxes=0, left_out=1, tasks=BOXES),
    Case(annotated("<object>"), images=0, boxes=0, left_out=1, tasks=BOXES),
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(cases=mixture(VOC_GOOD, VOC_FAULTY))
def test_in_vocs_format(folders, cases):
    root = write_voc(next(folders), count=2 + HELD_OUT, listed="cat\ndog")
    for kind in ("Main", "Segmentation"):
        for part, ids in (("train", range(2)), ("val", range(2, 2 + HELD_OUT))):
            (root / "ImageSets" / kind / f"{part}.txt").write_text("".join(f"{i}\n" for i in ids))
    for i, case in enumerate(cases, 2):
        case.edit(root, {"id": i}, {})
    for task in ("detection", "segmentation"):
        check(root, "voc", task, cases)
