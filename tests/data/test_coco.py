"""Labelled scenes in COCO's format: what a set says about itself is obeyed, counted or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled import BACK, HEIGHT, INSIDE, SHARES, WIDTH, Change, agrees, counts, draw, save_turned, write_coco
from PIL import Image

from mvsearch import data
from mvsearch.data import IGNORED, DataSet
from mvsearch.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "own"


def load_coco(root: Path, task: str = "detection", size: int = 60) -> DataSet:
    return data.load("coco", path=root, size=size, task=task)


# COCO: categories


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ({"cat": 1, "dog": 2}, {"dog": 1, "cat": 2}),
        ({"cat": 1, "dog": 2, "emu": 3}, {"cat": 1, "emu": 2}),
        ({"cat": 0, "dog": 1}, {"cat": 1, "dog": 2}),
        ({"dog": 7, "cat": 3}, {"cat": "3", "dog": "7"}),
        ({"cat": 1, "dog": 2}, {"dog": 90}),
    ],
)
def test_categories_of_the_second_file_are_matched_by_their_names(root, train, val):
    write_coco(root, "train", ids=train)
    write_coco(root, "val", ids=val)
    for task in ("detection", "segmentation"):
        found = load_coco(root, task)

        assert agrees(found)
        assert not found.skipped
    assert len(load_coco(root).test.boxes) == 6


@pytest.mark.parametrize(
    ("categories", "value"),
    [
        ([{"id": 1, "name": "cat"}, {"id": 2, "name": "wolf"}], "'wolf'"),
        ([{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}], "1 and 2"),
        ([{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}], "'dog'"),
        ([{"id": 1, "name": "cat"}, {"id": 2}], '{"id": 2}'),
        ([{"id": 1, "name": "cat"}, {"id": 2, "name": "  "}], '{"id": 2'),
        ([{"id": 1, "name": "cat"}, "dog"], '"dog"'),
        ([{"id": None, "name": "cat"}], "null"),
    ],
)
def test_categories_that_cannot_be_matched_are_refused_by_their_names(root, categories, value):
    write_coco(root, "train")
    write_coco(root, "val", lambda about: about.update(categories=categories))
    with pytest.raises(DataError, match=r"instances_val\.json") as caught:
        load_coco(root)
    assert value in str(caught.value)


@pytest.mark.parametrize(
    ("categories", "sentence"),
    [
        ([{"id": 1, "name": "Cat"}, {"id": 2, "name": " dog "}], "'Cat' is read as 'cat'"),
        ([{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "yak"}], "'yak'"),
        ([{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}], "that of id 0 has no objects"),
        ([{"id": 0, "name": "background"}, {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}], "the background"),
        ([], "names no categories"),
    ],
)
def test_what_is_assumed_of_categories_is_said(root, categories, sentence):
    write_coco(root, "train")
    write_coco(root, "val", lambda about: about.update(categories=categories))
    found = load_coco(root)

    assert agrees(found)
    assert found.test.classes == ("background", "cat", "dog")
    assert any(sentence in assumed for assumed in found.assumptions)


def test_a_file_without_categories_is_refused(root):
    write_coco(root, "train", lambda about: about.update(categories=[]))
    with pytest.raises(DataError, match="no categories"):
        load_coco(root)


# COCO: values


def each(name: str, of: str = "annotations", count: int = 99, **values: Any) -> Change:
    def change(about: dict[str, Any]) -> None:
        for entry in about[of][:count]:
            entry[name] = values["to"](entry[name])

    return change


def rename_images(about: dict[str, Any], ids: Callable[[int], tuple[object, object]]) -> None:
    for i, (image, annotation) in enumerate(zip(about["images"], about["annotations"], strict=True)):
        image["id"], annotation["image_id"] = ids(i)


@pytest.mark.parametrize(
    "change",
    [
        each("bbox", to=lambda box: [str(value) for value in box]),
        each("bbox", to=lambda box: [f" {value}.0" for value in box]),
        each("image_id", to=str, count=3),
        each("category_id", to=str),
        each("category_id", to=float),
        each("id", of="images", to=str),
        each("width", of="images", to=str),
        each("height", of="images", to=float),
        each("iscrowd", to=str),
        each("iscrowd", to=lambda _: False),
        each("iscrowd", to=lambda _: None),
        each("area", to=lambda _: None),
        each("width", of="images", to=lambda _: None),
        each("height", of="images", to=lambda _: 0),
        each("width", of="images", to=lambda _: -60),
        lambda about: about.update(info=None, licenses="x"),
        lambda about: rename_images(about, lambda i: (2**60 + i, str(2**60 + i))),  # beyond what a float can tell apart
        lambda about: rename_images(about, lambda i: (f"{10**i}e{9 - i}",) * 2),  # equal if they were read as numbers
        lambda about: [kind.update(supercategory=[{}]) for kind in about["categories"]],
    ],
)
def test_numbers_are_read_however_they_are_written(root, change):
    for part in ("train", "val"):
        write_coco(root, part, change)
    found = load_coco(root)

    assert found.test.boxes[:, 2:] == pytest.approx(np.tile(SHARES, (6, 1)))
    assert agrees(found)
    assert not found.skipped


@pytest.mark.parametrize(
    ("change", "reason", "boxes"),
    [
        (each("image_id", to=lambda i: i + 9000, count=3), "annotations of images that are not listed", 3),
        (each("image_id", to=lambda _: None, count=1), "annotations of images that are not listed", 5),
        (each("category_id", to=lambda _: 77, count=2), "annotations of categories that are not listed", 4),
        (each("bbox", to=lambda _: [1, 1, float("nan"), 2], count=1), "boxes that are not four finite numbers", 5),
        (each("bbox", to=lambda _: [1, 1, float("inf"), 2], count=1), "boxes that are not four finite numbers", 5),
        (each("bbox", to=lambda _: [1, 1, 5], count=1), "boxes that are not four finite numbers", 5),
        (each("bbox", to=lambda _: None, count=1), "boxes that are not four finite numbers", 5),
        (each("bbox", to=lambda _: ["a", 1, 5, 5], count=1), "boxes that are not four finite numbers", 5),
        (each("bbox", to=lambda _: [True, 1, 5, 5], count=1), "boxes that are not four finite numbers", 5),
        (each("bbox", to=lambda _: [9, 9, 0, 5], count=1), "boxes whose width or height is not positive", 5),
        (each("bbox", to=lambda _: [9, 9, 5, -5], count=1), "boxes whose width or height is not positive", 5),
        (each("bbox", to=lambda _: [70, 9, 5, 5], count=1), "boxes outside their images", 5),
        (lambda about: about["annotations"].append(about["annotations"][0]), "annotations that are listed twice", 6),
        (lambda about: about["annotations"].append(None), "annotations that are not mappings", 6),
        (lambda about: about["images"].append(about["images"][0]), "images that are listed twice", 6),
        (lambda about: about["images"].append({"id": 999}), "images without an id or a file_name", 6),
        (lambda about: about["images"].append({"id": 9, "file_name": "no.png"}), "listed images that do not exist", 6),
    ],
)
def test_what_cannot_be_used_is_counted_with_its_reason(root, change, reason, boxes):
    write_coco(root, "train")
    write_coco(root, "val", change)
    found = load_coco(root)

    assert counts(found) == {reason: 6 - boxes or 1}
    assert all(entry.example for entry in found.skipped)
    assert len(found.test.boxes) == boxes
    assert len(found.test.pixels) == 6
    assert agrees(found)
    assert load_coco(root).skipped == found.skipped  # from the cache, too


@pytest.mark.parametrize(
    ("change", "value"),
    [
        (each("bbox", to=lambda _: None, count=4), "4 of 6 annotations"),
        (each("image_id", to=lambda i: i + 9000), "none of its annotations"),
        (each("bbox", to=lambda box: [31, 11, 59, 39]), "corners"),
        (each("bbox", to=lambda box: [0.2, 0.2, 0.5, 0.5]), "shares"),
        (each("bbox", to=lambda box: [10, 10, 30, 30]), "corners"),  # inside their images, but their area is 20 x 20
        (each("bbox", to=lambda box: [70, 9, 5, 5], count=4), "4 of 6 objects"),
        (each("file_name", of="images", to=lambda name: f"x{name}", count=4), "4 of its 6 images"),
        (each("id", of="images", to=lambda i: 100), "101.png"),
        (lambda about: about.pop("annotations"), "annotations"),
        (lambda about: about.update(images={}), "images"),
        (lambda about: about["images"].clear(), "no images"),
        (each("width", of="images", to=lambda _: 40), "6 of 6 images"),
    ],
)
def test_a_file_that_is_mostly_wrong_is_refused(root, change, value):
    write_coco(root, "train")
    write_coco(root, "val", change)
    with pytest.raises(DataError) as caught:
        load_coco(root)
    assert value in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_box_that_reaches_beyond_its_image_is_cut_and_said(root):
    write_coco(root, "train")
    write_coco(root, "val", each("bbox", to=lambda _: [50, 10, 20, 20], count=1))
    found = load_coco(root)

    assert found.test.boxes[0, 2:].tolist() == pytest.approx([50 / 60, 10 / 40, 1, 30 / 40])
    assert any("1 boxes reach beyond" in sentence for sentence in found.assumptions)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be"])
def test_a_file_is_read_in_its_unicode_encoding(root, encoding):
    write_coco(root, "train")
    write_coco(root, "val")
    for file in (root / "annotations").iterdir():
        about = json.loads(file.read_text(encoding="utf-8"))
        about["categories"][0]["name"] = "кот"
        file.write_text(json.dumps(about, ensure_ascii=False), encoding=encoding)
    assert load_coco(root).test.classes == ("background", "кот", "dog")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", '{"a": "\xe9"}'.encode("latin-1"), b"\x00" * 9, b"[" * 9999])
def test_a_file_that_is_not_json_in_unicode_is_refused_by_its_name(root, raw):
    write_coco(root, "train")
    (root / "annotations" / "instances_val.json").write_bytes(raw)
    with pytest.raises(DataError, match=r"instances_val\.json") as caught:
        load_coco(root)
    assert len(str(caught.value)) < 300 + len(str(root))


# COCO: files


@pytest.mark.parametrize(
    ("rename", "assumed"),
    [
        (lambda root, name: str(root / "val" / name), False),
        (lambda root, name: f"/home/somebody/set/val/{name}", True),
        (lambda root, name: f"C:\\sets\\val\\{name}", True),
        (lambda root, name: f"val/{name}", False),
        (lambda root, name: f"val\\{name}", False),
        (lambda root, name: f"./{name}", False),
        (lambda root, name: f"../val/{name}", False),
        (lambda root, name: name.replace("1", "%31"), False),
        (lambda root, name: f" {name} ", False),
        (lambda root, name: name.replace(".png", ".PNG"), True),
        (lambda root, name: f"http://images.org/val2017/{name}", True),
    ],
)
def test_an_image_is_found_by_what_its_file_name_can_mean(root, rename, assumed):
    write_coco(root, "train")
    write_coco(root, "val", each("file_name", of="images", to=lambda name: rename(root, name)))
    found = load_coco(root)

    assert agrees(found)
    assert len(found.test.boxes) == 6
    assert not found.skipped
    assert any("images are found" in sentence for sentence in found.assumptions) == assumed


def test_an_image_is_found_by_its_address_alone_and_by_its_bytes(root):
    write_coco(root, "train")

    def change(about):
        about["images"][0] = {"id": 100, "coco_url": "http://images.org/val/100.png?a=1"}
        about["images"][1]["file_name"] = "\udcff.png"

    (root / "val").mkdir()
    write_coco(root, "val", change)
    (root / "val" / "101.png").rename(root / "val" / "\udcff.png")
    found = load_coco(root)

    assert len(found.test.boxes) == 6
    assert agrees(found)
    assert not found.skipped


def test_two_absolute_paths_are_not_taken_for_one_file(root):
    write_coco(root, "train")

    def change(about):
        for image, folder in zip(about["images"][:2], ("a", "b"), strict=True):
            image["file_name"] = f"/nowhere/{folder}/100.png"

    write_coco(root, "val", change)
    with pytest.raises(DataError, match=r"/nowhere/b/100\.png"):
        load_coco(root)


def test_an_image_with_two_ids_is_one_image_with_the_objects_of_both(root):
    write_coco(root, "train")

    def change(about):
        about["images"].append(about["images"][0] | {"id": 900})
        about["annotations"].append(about["annotations"][0] | {"id": 900, "image_id": 900, "bbox": [12, 12, 10, 10]})

    write_coco(root, "val", change)
    found = load_coco(root)

    assert len(found.test.pixels) == 6
    assert np.bincount(found.test.boxes[:, 0].astype(int)).tolist() == [2, 1, 1, 1, 1, 1]
    assert any("second id" in sentence for sentence in found.assumptions)


def test_a_dead_link_is_counted(root):
    write_coco(root, "train")
    write_coco(root, "val")
    (root / "val" / "100.png").unlink()
    (root / "val" / "100.png").symlink_to(root / "nowhere")
    found = load_coco(root)

    assert counts(found)["listed images that do not exist"] == 1
    assert len(found.test.pixels) == 5


@pytest.mark.parametrize("folder", ["images/{part}", "images", "."])
def test_images_may_be_in_other_usual_folders(root, folder):
    for part in ("train", "val"):
        write_coco(root, part)
        place = root / folder.format(part=part)
        place.mkdir(parents=True, exist_ok=True)
        for file in list((root / part).iterdir()):
            file.rename(place / file.name)
        (root / part).rmdir()
    found = load_coco(root)

    assert agrees(found)
    assert not found.skipped


@pytest.mark.parametrize(
    ("file", "images", "val"),
    [
        ("annotations/{}.json", "{}", "val"),
        ("{}.json", "images/{}", "validation"),
        ("{}.json", "data", "val"),
        ("{}/_annotations.coco.json", "{}", "valid"),
    ],
)
def test_annotations_may_be_in_other_usual_places(root, file, images, val):
    for part, name in (("train", "train"), ("val", val)):
        write_coco(root, part)
        for source in [*(root / part).iterdir(), root / "annotations" / f"instances_{part}.json"]:
            target = root / (file.format(name) if source.suffix == ".json" else f"{images.format(name)}/{source.name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
    found = load_coco(root)

    assert (len(found.train.pixels), len(found.test.pixels)) == (6, 6)
    assert agrees(found)
    assert not found.skipped
    assert not any("seed" in sentence or "test part" in sentence for sentence in found.assumptions)


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("annotations/instances_default.json", "images/default"),
        ("result.json", "images"),
        ("labels.json", "data"),
        ("_annotations.coco.json", "."),
    ],
)
def test_one_file_for_all_images_is_split_by_the_seed(root, file, images):
    write_coco(root, "train")
    (root / images).mkdir(parents=True, exist_ok=True)
    for image in (root / "train").iterdir():
        image.rename(root / images / image.name)
    (root / "annotations" / "instances_train.json").rename(root / file)
    found = load_coco(root)

    assert (len(found.train.pixels), len(found.test.pixels)) == (5, 1)
    assert agrees(found)
    assert not found.skipped
    assert any(file in sentence and "seed" in sentence for sentence in found.assumptions)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_part_without_any_object_is_refused(root, part, task):
    for each_part in ("train", "val"):
        write_coco(root, each_part, (lambda about: about["annotations"].clear()) if each_part == part else len)
    with pytest.raises(DataError, match=f"the {'test' if part == 'val' else 'training'} part has no"):
        load_coco(root, task)


def test_classes_that_differ_in_case_alone_are_said(root):
    write_coco(root, "train", lambda about: about["categories"][1].update(name="Cat"))
    assert any("'cat' and 'Cat'" in sentence for sentence in load_coco(root).assumptions)


def test_files_that_no_annotation_names_are_counted(root):
    write_coco(root, "train")
    write_coco(root, "val")
    write_coco(root, "test")
    (root / "train" / "more.png").write_bytes((root / "train" / "0.png").read_bytes())
    (root / "train" / "._0.png").write_bytes(b"hidden")
    (root / "train" / "notes.txt").write_text("x")
    found = load_coco(root)

    assert counts(found)["images that the annotations do not list"] == 1
    assert counts(found)["annotation files of parts that are not used"] == 1
    assert sum(entry.count for entry in found.skipped) == 4


def test_images_of_the_test_part_with_the_bytes_of_one_for_training_are_said(root):
    for part in ("train", "val"):
        write_coco(root, part, lambda about: [image.update(width=WIDTH) for image in about["images"]])
    assert any("test images are also in train, such as train/0.png and val/100.png" in one
               for one in load_coco(root).assumptions)  # fmt: skip


def test_without_val_the_test_part_is_used_and_without_both_the_seed_splits(root):
    write_coco(root, "train")
    assert len(load_coco(root).train.pixels) == 5
    write_coco(root, "test", count=3)
    found = load_coco(root)

    assert (len(found.train.pixels), len(found.test.pixels)) == (6, 3)
    assert any("instances_test.json" in sentence for sentence in found.assumptions)


# COCO: outlines


RUNS = {"size": [HEIGHT, WIDTH], "counts": [10 * HEIGHT + 10, 20, *[20, 20] * 19, 29 * HEIGHT + 30 - 20]}


@pytest.mark.parametrize(
    ("outline", "reason"),
    [
        ([[10, 10, 30, 10]], "outlines that are not x, y of three or more points"),
        ([[10, 10, 30, 10, 30, 30, 10]], "outlines that are not x, y of three or more points"),
        ([[10, 10, 30, "a", 30, 30]], "outlines that are not x, y of three or more points"),
        ([[10, 10, 1e12, 10, 30, 30]], "outlines that are not x, y of three or more points"),
        ([[[10, 10], [30, 10], [30, 30]]], "outlines that are not x, y of three or more points"),
        ([[10, 10, 10, 10, 10, 10]], "outlines that contain no pixel"),
        ([[100, 100, 120, 100, 120, 120]], "outlines that contain no pixel"),
        ([[10, 10, 99, 10, 99, 30, 10, 30]], "parts of outlines that reach beyond their images"),
        ([], "objects without an outline"),
        (None, "objects without an outline"),
        ("text", "objects without an outline"),
        (RUNS | {"size": [WIDTH, HEIGHT]}, "outlines in run lengths of another size than their images"),
        (RUNS | {"counts": [5, 5]}, "outlines in run lengths that do not add up to their images"),
        (RUNS | {"counts": [-5, 5, HEIGHT * WIDTH]}, "outlines in run lengths that do not add up to their images"),
        (RUNS | {"counts": "zzz9"}, "outlines in run lengths that do not add up to their images"),
        (RUNS | {"counts": None}, "outlines in run lengths that do not add up to their images"),
    ],
)
def test_one_bad_outline_among_good_ones_is_counted_and_its_image_kept(root, outline, reason):
    write_coco(root, "train", each("segmentation", to=lambda _: outline, count=1))
    write_coco(root, "val")
    found = load_coco(root, "segmentation")

    assert counts(found) == {reason: 1}
    assert found.skipped[0].example == "annotation 1"
    assert len(found.train.pixels) == 6
    assert found.train.masks[0].any() == reason.startswith("parts")
    assert all((mask > 0).any() for mask in found.train.masks[1:])


def test_outlines_in_shares_of_the_sides_are_refused(root):
    for part in ("train", "val"):
        write_coco(root, part, each("segmentation", to=lambda _: [[], [0.2, 0.2, 0.5, 0.2, 0.5, 0.5]]))
    with pytest.raises(DataError, match="shares"):
        load_coco(root, "segmentation")


@pytest.mark.parametrize("form", ["flat", "strings", "runs", "compressed", "two", "one bad of two"])
def test_outlines_are_drawn_in_each_of_their_forms(root, form):
    mask = pytest.importorskip("pycocotools.mask")
    square = [10, 10, 30, 10, 30, 30, 10, 30]
    inside = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    inside[INSIDE] = 1
    compressed = mask.encode(inside)
    outlines = {
        "flat": square,
        "strings": [[str(value) for value in square]],
        "runs": {"size": [HEIGHT, WIDTH], "counts": [str(run) for run in runs_of(inside)]},
        "compressed": {"size": [HEIGHT, WIDTH], "counts": compressed["counts"].decode()},
        "two": [[10, 10, 30, 10, 30, 20, 10, 20], [10, 20, 30, 20, 30, 30, 10, 30]],
        "one bad of two": [square, [1, 1, 5, 5]],
    }
    for part in ("train", "val"):
        write_coco(root, part, each("segmentation", to=lambda _: outlines[form]))
    found = load_coco(root, "segmentation")
    assert agrees(found)
    parts = {"parts of outlines that are not x, y of three or more points": 12}
    assert counts(found) == (parts if form == "one bad of two" else {})


def runs_of(inside: np.ndarray) -> list[int]:
    flat = inside.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    return np.diff([0, *edges, len(flat)]).tolist()


def test_random_masks_in_compressed_run_lengths_are_what_they_were():
    tools = pytest.importorskip("pycocotools.mask")
    from mvsearch.data import _outlines

    rng = np.random.default_rng(0)
    for _ in range(20):
        height, width = rng.integers(1, 90, 2).tolist()
        inside = np.asfortranarray((rng.random((height, width)) < rng.random()).astype(np.uint8))
        inside[0, 0] = 1
        runs = tools.encode(inside)
        found, fault = _outlines.draw({"size": [height, width], "counts": runs["counts"].decode()}, height, width)
        assert not fault
        assert np.array_equal(found, inside)


def test_crowds_are_unknown_in_masks_and_ignored_among_boxes(root):
    for part in ("train", "val"):
        write_coco(root, part, each("iscrowd", to=lambda _: 1, count=1))
    boxed, masked = (load_coco(root, task) for task in ("detection", "segmentation"))

    assert (len(boxed.test.boxes), len(boxed.test.ignored)) == (5, 1)
    assert boxed.test.ignored[0].tolist() == pytest.approx([0, 1, *SHARES, 1])
    assert set(np.unique(masked.test.masks[0])) == {0, IGNORED}
    assert boxed.test.subset(np.array([1, 0])).ignored[0, 0] == 1


@pytest.mark.parametrize("name", ["ignore", "difficult"])
def test_objects_to_be_ignored_are_neither_trained_on_nor_known_in_masks(root, name):
    for part in ("train", "val"):
        write_coco(root, part, lambda about: about["annotations"][0].update({name: 1}))
    boxed, masked = (load_coco(root, task) for task in ("detection", "segmentation"))

    assert (len(boxed.test.boxes), boxed.test.ignored.tolist()) == (5, [pytest.approx([0, 1, *SHARES, 0])])
    assert set(np.unique(masked.test.masks[0])) == {0, IGNORED}


def test_data_check_counts_boxes_and_the_images_that_show_each_class(root, mvsearch):
    def change(about):
        about["annotations"][1].update(image_id=0, iscrowd=1)
        about["annotations"].append(about["annotations"][0] | {"id": 77})
        about["annotations"].append(about["annotations"][0] | {"id": 78, "bbox": None})

    write_coco(root, "train", change)
    write_coco(root, "val")
    command = ["data", "check", "coco", "--path", str(root), "--size", "60"]
    report = json.loads(mvsearch(*command, "--json").out)

    assert report["counts"] == {"cat": {"train": 4, "test": 3}, "dog": {"train": 2, "test": 3}}
    assert report["images_per_class"] == {"cat": {"train": 3, "test": 3}, "dog": {"train": 2, "test": 3}}
    assert report["ignored"] == {"train": 1, "test": 0}
    assert report["skipped"] == [
        {
            "reason": "boxes that are not four finite numbers",
            "count": 1,
            "example": "annotation 78 of instances_train.json",
        }
    ]
    assert "1 in train" in mvsearch(*command).out
    masks = json.loads(mvsearch(*command, "--task", "segmentation", "--json").out)
    assert masks["counts"]["cat"] == {"train": 3, "test": 3}


@pytest.mark.parametrize("classes", [254, 255, 300])
def test_more_classes_than_a_mask_holds_are_refused_for_masks_only(root, classes):
    ids = {f"c{i}": i for i in range(1, classes + 1)}

    def name_two(about):
        for kind, name in zip(about["categories"], ("cat", "dog"), strict=False):
            kind["name"] = name
        about["categories"] += [{"id": i, "name": name} for name, i in list(ids.items())[2:]]

    for part in ("train", "val"):
        write_coco(root, part, name_two)
    part = load_coco(root).train
    assert len(part.boxes) == 6
    assert part.relabel(range(classes + 1)[::-1], part.classes).boxes[0, 1] == classes - part.boxes[0, 1]
    if classes > 254:
        with pytest.raises(DataError, match=f"{classes} classes.*254"):
            load_coco(root, "segmentation")
    else:
        found = load_coco(root, "segmentation")
        assert (found.train.masks[1][25, 25], len(found.train.classes)) == (2, 255)
        assert any("'c3'" in sentence and "more" in sentence for sentence in found.assumptions)


# Orientation


@pytest.mark.parametrize("task", ["detection", "segmentation"])
@pytest.mark.parametrize("orientation", BACK)
def test_labels_of_the_upright_image_lie_on_its_objects(root, orientation, task):
    for part in ("train", "val"):
        for image in write_coco(root, part)["images"]:
            name = ("cat", "dog")[image["id"] % 2]
            save_turned(root / part / image["file_name"], draw(name), orientation)
    found = load_coco(root, task)

    assert agrees(found)
    assert not found.skipped
    assert any("EXIF orientation" in sentence for sentence in found.assumptions)
    assert found.native.width == (WIDTH, WIDTH, WIDTH)


def test_labels_of_the_stored_image_are_known_by_their_sides_and_decide_for_the_others(root):
    for part in ("train", "val"):
        images = write_coco(root, part)["images"]
        for image in images:
            stored = Image.open(root / part / image["file_name"])
            exif = Image.Exif()
            exif[0x0112] = 3 if image is images[0] else 6
            stored.save(root / part / image["file_name"], exif=exif)
    found = load_coco(root)

    assert agrees(found)
    assert any("10 images" in sentence and "as they are stored" in sentence for sentence in found.assumptions)
    assert any("2 images" in sentence and "as most others" in sentence for sentence in found.assumptions)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_boxes_that_fit_only_the_other_way_around_than_their_width_and_height_say_are_refused(root, task):
    upright = np.full((WIDTH, HEIGHT, 3), 90, np.uint8)
    for part in ("train", "val"):
        for image in write_coco(root, part, each("bbox", to=lambda _: [10, 38, 20, 20]))["images"]:
            save_turned(root / part / image["file_name"], upright, 6)
    with pytest.raises(DataError, match=r"12 images .*train/0\.png.* swapped"):
        load_coco(root, task)


def test_labels_whose_masks_would_not_fit_into_memory_are_left_out(root):
    write_coco(root, "train")
    write_coco(root, "val", lambda about: about["images"][0].update(width=WIDTH * 10**7, height=HEIGHT * 10**7))
    assert counts(load_coco(root, "segmentation")) == {"images whose labels are for another width and height": 1}


def test_labels_for_a_smaller_copy_are_scaled_and_those_for_another_shape_left_out(root):
    write_coco(root, "train")
    about = write_coco(root, "val")
    for image in about["images"][:2]:
        Image.fromarray(draw("cat" if image["id"] % 2 == 0 else "dog")).resize((120, 80)).save(
            root / "val" / image["file_name"]
        )
    Image.new("RGB", (40, 60)).save(root / "val" / about["images"][2]["file_name"])
    found = load_coco(root)

    assert agrees(found)
    assert counts(found) == {"images whose labels are for another width and height": 1}
    assert any("2 images" in sentence and "scaled" in sentence for sentence in found.assumptions)
