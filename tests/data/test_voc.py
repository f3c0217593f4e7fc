"""Labelled scenes in PASCAL VOC's format: what a set says about itself is obeyed, counted or refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from labelled import (
    ANNOTATION,
    BACK,
    HEIGHT,
    INSIDE,
    OBJECT,
    SHARES,
    WIDTH,
    agrees,
    counts,
    draw,
    save_turned,
    write_annotation,
    write_list,
    write_voc,
)
from PIL import Image

from mvsearch import data
from mvsearch.data import IGNORED, DataSet
from mvsearch.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    return write_voc(tmp_path / "own")


def load_voc(root: Path, task: str = "detection", size: int = 60) -> DataSet:
    return data.load("voc", path=root, size=size, task=task)


def sizes(found: DataSet) -> tuple[int, int]:
    return len(found.train.pixels), len(found.test.pixels)


# Lists


@pytest.mark.parametrize(
    ("lists", "images", "assumed"),
    [
        ({"train": range(5), "test": range(5, 8)}, (5, 3), "no val.txt"),
        ({"trainval": range(5), "test": range(5, 8)}, (5, 3), "no val.txt"),
        ({"train": range(3), "trainval": range(5), "test": range(5, 8)}, (5, 3), "no val.txt"),
        ({"train": range(4), "val": range(4, 6), "trainval": range(6), "test": range(6, 8)}, (4, 2), "test.txt is not"),
        ({"trainval": range(8), "val": range(6, 8)}, (6, 2), "no train.txt"),
        ({"train": range(8)}, (7, 1), "no list for val or test"),
        ({"trainval": range(8)}, (7, 1), "no list for val or test"),
        ({"Train": range(6), "VAL": range(6, 8)}, (6, 2), None),
        ({"training": range(6), "validation": range(6, 8)}, (6, 2), None),
        ({"cat_train": ["0 1", "1 -1", "2  1", "3", "4"], "dog_train": ["5 0"], "cat_val": ["6 1", "7"]}, (6, 2), None),
        ({"train": range(6), "val": range(6, 8), "cat_train": ["9 1"]}, (6, 2), None),
        ({"train": ["\ufeff0", "1", "", "  2  ", "3\r", "4", "5"], "val": ["6", "7", "", ""]}, (6, 2), None),
        ({"train": [f"{i}.png" for i in range(6)], "val": ["6.PNG", "7.jpg"]}, (6, 2), None),
        ({"train": [f"JPEGImages/{i}.png" for i in range(6)], "val": ["JPEGImages\\6.png", "/x/7.png"]}, (6, 2), None),
        ({"train": [f"JPEGImages/{i}.png Annotations/{i}.xml" for i in range(6)], "val": ["6", "7"]}, (6, 2), None),
        ({"train": [0, 1, 2, 3, 4, 5, 6], "val": [6, 7]}, (7, 2), "in train.txt and in val.txt"),
    ],
)  # fmt: skip
def test_lists_of_every_kind_are_obeyed(root, lists, images, assumed):
    for kind in ("Main", "Segmentation"):
        for file in (root / "ImageSets" / kind).iterdir():
            file.unlink()
        for part, ids in lists.items():
            write_list(root, part, ids, kind)
    for task in ("detection", "segmentation"):
        found = load_voc(root, task)

        assert sizes(found) == images
        assert agrees(found)
        assert sum(counts(found).values()) == 8 - len({*range(sum(images))} - {8})
        said = [sentence for sentence in found.assumptions if "ImageSets" in sentence or ".txt and" in sentence]
        assert bool(said) == bool(assumed)
        assert not assumed or any(assumed in sentence for sentence in said)


@pytest.mark.parametrize(
    ("lists", "value"),
    [
        ({"val": range(8)}, "no train.txt"),
        ({"train": [], "val": range(8)}, "train.txt"),
        ({"train": range(6), "val": [10, 11]}, "2 of 2 images"),
        ({"train": ["0", "x", "y", "z"], "val": [6, 7]}, "3 of 4 images"),
    ],
)
def test_lists_that_name_no_images_are_refused(root, lists, value):
    for file in (root / "ImageSets" / "Main").iterdir():
        file.unlink()
    for part, ids in lists.items():
        write_list(root, part, ids)
    with pytest.raises(DataError) as caught:
        load_voc(root)
    assert value in str(caught.value)


def test_without_lists_the_seed_splits_and_it_is_said(root):
    shutil.rmtree(root / "ImageSets")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    write_list(root, "default", range(4))
    found = load_voc(root)

    assert sizes(found) == (7, 1)
    assert any("the seed" in sentence and "default.txt" in sentence for sentence in found.assumptions)


def test_a_set_without_labels_for_a_task_is_refused_with_the_task_that_it_is_for(root):
    shutil.rmtree(root / "SegmentationClass")
    with pytest.raises(DataError, match="its labels are for detection"):
        load_voc(root, "segmentation")
    shutil.rmtree(root / "Annotations")
    with pytest.raises(DataError, match=r"Annotations/\*\.xml"):
        load_voc(root)


def test_an_id_may_have_blanks_and_dots(root):
    for folder, suffix in (("JPEGImages", ".png"), ("Annotations", ".xml"), ("SegmentationClass", ".png")):
        (root / folder / f"7{suffix}").rename(root / folder / f"my cat 1{suffix}")
        (root / folder / f"6{suffix}").rename(root / folder / f"a.b{suffix}")
    write_list(root, "val", ["my cat 1", "a.b"])
    write_list(root, "val", ["my cat 1  -1", "a.b 1"], "Segmentation")
    for task in ("detection", "segmentation"):
        assert sizes(load_voc(root, task)) == (6, 2)
        assert not load_voc(root, task).skipped


def test_segmentation_without_lists_of_its_own_uses_those_of_main(root):
    for file in (root / "ImageSets" / "Segmentation").iterdir():
        file.unlink()
    (root / "SegmentationClass" / "0.png").unlink()
    found = load_voc(root, "segmentation")

    assert sizes(found) == (5, 2)
    assert counts(found) == {"images without SegmentationClass/*.png": 1}
    assert any("those in Main are used" in sentence for sentence in found.assumptions)


def test_what_is_listed_twice_is_missing_or_is_in_no_list_is_counted(root):
    write_list(root, "train", [0, 1, 1, 2, 3, 99])
    (root / "Annotations" / "3.xml").unlink()
    (root / "JPEGImages" / "5.png").unlink()
    found = load_voc(root)

    assert sizes(found) == (3, 2)
    assert counts(found) == {
        "lines of lists that repeat an image": 1,
        "images in a list that do not exist": 1,
        "images without Annotations/*.xml": 1,
        "images that are not in the lists": 1,
        "labels that are not in the lists": 1,
    }


def test_stray_files_are_counted_and_nothing_else_changes(root):
    before = load_voc(root)
    for file in ("Annotations/.DS_Store", "Annotations/._0.xml", "Annotations/notes.txt", "JPEGImages/.DS_Store",
                 "JPEGImages/Thumbs.db", "JPEGImages/readme.md", "SegmentationClass/._0.png"):  # fmt: skip
        (root / file).write_bytes(b"\0\1")
    (root / "Annotations" / ".ipynb_checkpoints").mkdir()
    (root / "Annotations" / ".ipynb_checkpoints" / "0-checkpoint.xml").write_text("x")
    after = load_voc(root)

    assert after.checksum == before.checksum
    assert sum(counts(after).values()) == 7


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".bmp", ".tif", ".webp"])
def test_images_of_any_kind_belong_to_their_labels(root, suffix):
    for file in list((root / "JPEGImages").iterdir()):
        Image.open(file).save(file.with_suffix(suffix))
        file.unlink()
    assert agrees(load_voc(root))
    assert sizes(load_voc(root, "segmentation")) == (6, 2)


def test_of_several_images_of_one_name_none_is_chosen(root):
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "JPEGImages" / "0.jpg")
    found = load_voc(root)

    assert counts(found) == {"images of one name (.jpg, .png)": 1}
    assert sizes(found) == (5, 2)


# Classes


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "cat\ndog\n"),
        ("classes.txt", "\ufeffcat\r\ndog\r\n\r\n"),
        ("classes.txt", "background\ncat\ndog"),
        ("classes.txt", "__background__\n cat \n\ndog\n"),
        ("labels.txt", "# comment\ncat\ndog"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n"),
    ],
)
def test_classes_are_in_the_order_of_their_file(root, name, text):
    (root / name).write_text(text, encoding="utf-8")
    found = load_voc(root, "segmentation")

    assert found.train.classes == ("background", "cat", "dog")
    assert agrees(found)


def test_the_order_of_classes_is_that_of_the_masks_and_without_a_file_alphabetical(root):
    assert any("alphabetical" in sentence for sentence in load_voc(root, "segmentation").assumptions)
    (root / "classes.txt").write_text("dog\ncat")
    assert not agrees(load_voc(root, "segmentation"))  # the masks' 1 is dog now
    assert agrees(load_voc(root))


@pytest.mark.parametrize(
    ("text", "value"),
    [("cat\ndog\ncat", "'cat'"), ("cat\nbackground\ndog", "line 2"), ("\n", "no classes"), ("# x", "no classes")],
)
def test_a_list_of_classes_that_is_ambiguous_is_refused(root, text, value):
    (root / "classes.txt").write_text(text)
    with pytest.raises(DataError, match=r"classes\.txt") as caught:
        load_voc(root, "segmentation")
    assert value in str(caught.value)


def test_a_list_of_classes_that_is_not_unicode_is_refused_by_its_name(root):
    (root / "classes.txt").write_bytes("cät".encode("latin-1"))
    with pytest.raises(DataError, match=r"classes\.txt: .*UTF-8"):
        load_voc(root)


def test_objects_of_classes_that_are_not_named_are_counted_and_refused_if_they_are_most(root):
    write_annotation(root, 0, OBJECT.format(name="cat") + OBJECT.format(name="emu"))
    (root / "classes.txt").write_text("cat\ndog")
    found = load_voc(root)
    assert counts(found) == {"objects of classes that classes.txt does not name": 1}
    assert found.skipped[0].example == "0.xml: emu"

    (root / "classes.txt").write_text("emu")
    with pytest.raises(DataError, match="objects of classes"):
        load_voc(root)


def test_names_that_differ_in_case_are_one_class_of_the_list_and_said(root):
    write_annotation(root, 0, OBJECT.format(name="Cat"))
    assert any("'Cat' and 'cat' are read as two" in sentence for sentence in load_voc(root).assumptions)

    (root / "classes.txt").write_text("cat\ndog")
    found = load_voc(root)
    assert agrees(found)
    assert len(found.train.boxes) == 6
    assert "objects called 'Cat' are read as 'cat'" in found.assumptions


# Annotations


@pytest.mark.parametrize(
    "objects",
    [
        OBJECT.replace("11", "11.0").replace("30", " 30 "),
        OBJECT.replace("<difficult>0</difficult>", "<pose>Left</pose><truncated>1</truncated><occluded>1</occluded>"),
        OBJECT.replace("<difficult>0", "<difficult>Unspecified"),
        OBJECT + "<segmented>0</segmented><object2/>",
        OBJECT.replace("<bndbox>", "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part><bndbox>"),
    ],
)
@pytest.mark.parametrize(
    "side", [(WIDTH, HEIGHT), ("", ""), (0, 0), ("60.0", "40.0"), (-1, 40), (2 * WIDTH, 2 * HEIGHT)]
)
def test_numbers_and_sizes_are_read_however_they_are_written(root, objects, side):
    for i in range(8):
        text = objects.format(name=("cat", "dog")[i % 2])
        write_annotation(root, i, text, *side)
    found = load_voc(root)

    shares = np.array(SHARES) / (2 if side == (2 * WIDTH, 2 * HEIGHT) else 1)
    assert found.test.boxes[:, 2:] == pytest.approx(np.tile(shares, (2, 1)), abs=0.02)
    assert not found.skipped


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<xmin>11", "<xmin>nan", "objects without a box of four numbers"),
        ("<xmin>11</xmin>", "", "objects without a box of four numbers"),
        ("bndbox", "robndbox", "objects without a box of four numbers"),
        ("<xmax>30", "<xmax>5", "boxes whose xmax or ymax is less than xmin or ymin"),
        ("<xmin>11</xmin><ymin>11</ymin><xmax>30",
         "<xmin>99</xmin><ymin>11</ymin><xmax>999", "boxes outside their images"),
    ],
)  # fmt: skip
def test_a_box_that_cannot_be_used_is_counted(root, old, new, reason):
    write_annotation(root, 0, OBJECT.format(name="cat") + OBJECT.format(name="dog").replace(old, new))
    found = load_voc(root)

    assert counts(found) == {reason: 1}
    assert (len(found.train.pixels), len(found.train.boxes)) == (6, 6)


def test_annotations_without_a_width_and_height_are_said(root):
    write_annotation(root, 0, OBJECT.format(name="cat"), 0, 0)
    found = load_voc(root, "detection")

    assert agrees(found)
    assert any("1 annotations have no width" in sentence for sentence in found.assumptions)


def test_boxes_in_shares_of_the_sides_are_refused(root):
    for i in range(8):
        write_annotation(root, i, OBJECT.format(name="cat").replace(">11<", ">0.2<").replace(">30<", ">0.5<"))
    with pytest.raises(DataError, match="shares"):
        load_voc(root, "detection")


def test_a_box_that_starts_at_0_is_said(root):
    write_annotation(root, 0, OBJECT.format(name="cat").replace("<xmin>11", "<xmin>0"))
    assert any("1 boxes start at 0" in sentence for sentence in load_voc(root).assumptions)


def test_difficult_objects_are_not_trained_on_and_ignored_in_the_score(root):
    hard = OBJECT.replace("<difficult>0", "<difficult> 1 ")
    write_annotation(root, 0, OBJECT.format(name="cat") + hard.format(name="dog"))
    found = load_voc(root)

    assert len(found.train.boxes) == 6
    assert found.train.ignored.tolist() == [pytest.approx([0, 2, *SHARES, 0])]
    assert not found.skipped


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16"])
def test_xml_is_read_in_the_encoding_that_it_declares(root, encoding):
    for i in range(8):
        text = ANNOTATION.format(width=WIDTH, height=HEIGHT, objects=OBJECT.format(name="kätzchen"))
        declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>{text}'
        (root / "Annotations" / f"{i}.xml").write_bytes(declared.encode(encoding))
    assert load_voc(root).train.classes == ("background", "kätzchen")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "annotations that are not XML (ParseError)"),
        (b"\0\1\2", "annotations that are not XML (ParseError)"),
        (b"<annotation><object>", "annotations that are not XML (ParseError)"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "annotations that are not XML (LookupError)"),
        (b"<html/>", "annotations that are not in VOC's format"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "annotations that declare entities"),
    ],
)
def test_a_file_that_is_not_plain_xml_is_counted_with_its_image(root, raw, reason):
    (root / "Annotations" / "0.xml").write_bytes(raw)
    found = load_voc(root)

    assert counts(found) == {reason: 1}
    assert sizes(found) == (5, 2)


# Masks


def save_masks(root: Path, change) -> None:
    for file in (root / "SegmentationClass").iterdir():
        with Image.open(file) as mask:
            values = np.asarray(mask)
        change(values).save(file)


def coloured(palette: dict[int, tuple[int, int, int]]):
    def change(values: np.ndarray) -> Image.Image:
        return Image.fromarray(np.array([palette.get(i, (0, 0, 0)) for i in range(256)], np.uint8)[values])

    return change


VOC_COLOURS = {1: (128, 0, 0), 2: (0, 128, 0), 255: (224, 224, 192)}


@pytest.mark.parametrize(
    "change",
    [
        lambda values: Image.fromarray(values.astype(np.uint16)),
        lambda values: as_palette(values),
        lambda values: Image.fromarray(values).convert("RGB"),
        coloured(VOC_COLOURS),
        lambda values: Image.fromarray(values).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.NEAREST),
    ],
)
def test_masks_are_read_as_numbers_palettes_or_vocs_colours(root, change):
    save_masks(root, change)
    found = load_voc(root, "segmentation")

    assert agrees(found)
    assert not found.skipped


def as_palette(values: np.ndarray, colours: dict[int, tuple[int, int, int]] | None = None) -> Image.Image:
    image = Image.fromarray(values)
    palette = [(21 * i % 256, 7, 14) for i in range(256)]
    for number, colour in (colours or {}).items():
        palette[number] = colour
    image.putpalette([value for colour in palette for value in colour])
    return image


def reordered(*colours: tuple[int, int, int]):
    """A palette with dog's colour first, then the background's and then cat's, as a program that sorts palettes."""

    def change(values: np.ndarray) -> Image.Image:
        image = Image.fromarray(np.array([1, 2, 0], np.uint8)[values])
        image.putpalette([value for colour in colours for value in colour])
        return image

    return change


@pytest.mark.parametrize("listed", [True, False])
def test_a_palette_of_the_classes_colours_in_another_order_is_read_by_its_colours(root, listed):
    colours = ((4, 5, 6), (9, 9, 9), (1, 2, 3)) if listed else (VOC_COLOURS[2], (0, 0, 0), VOC_COLOURS[1])
    if listed:
        (root / "labelmap.txt").write_text("background:9,9,9::\ncat:1,2,3::\ndog:4,5,6::\n")
    save_masks(root, reordered(*colours))
    found = load_voc(root, "segmentation")

    assert agrees(found)
    assert any("palette of another order" in sentence for sentence in found.assumptions)


def test_a_palette_of_other_colours_is_read_by_its_numbers_even_if_some_of_them_are_vocs(root):
    save_masks(root, lambda values: as_palette(values, {1: VOC_COLOURS[2]}))
    assert agrees(load_voc(root, "segmentation"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labelmap.txt", "background:0,0,0::\ncat:1,2,3::\ndog:4,5,6::\nignored:224,224,192::\n"),
        ("labelmap.txt", "background:0,0,0::\ncat:1,2,3::\ndog:4,5,6::\n"),
        ("labels.txt", "__ignore__\n_background_\ncat\ndog\n"),
    ],
)
def test_the_colour_of_borders_and_the_mark_of_unknown_pixels_are_not_classes(root, name, text):
    (root / name).write_text(text)
    if name == "labelmap.txt":
        palette = coloured({1: (1, 2, 3), 2: (4, 5, 6), 255: (224, 224, 192)})
        save_masks(root, lambda values: palette(np.pad(values[1:], ((1, 0), (0, 0)), constant_values=255)))
    found = load_voc(root, "segmentation")

    assert found.train.classes == ("background", "cat", "dog")
    assert (found.train.masks[:, 0] == (IGNORED if name == "labelmap.txt" else 0)).all()
    assert (found.train.masks[0, 15:42, 10:30] == 1).all()


def test_colours_of_a_label_map_are_its_classes_in_any_order(root):
    (root / "labelmap.txt").write_text("cat:1,2,3::\nbackground:9,9,9::\ndog:4,5,6::\n")
    save_masks(root, coloured({0: (9, 9, 9), 1: (1, 2, 3), 2: (4, 5, 6)}))
    found = load_voc(root, "segmentation")

    assert agrees(found)
    assert any("colours of the classes" in sentence for sentence in found.assumptions)


def test_masks_are_read_anew_once_the_colours_of_the_label_map_change(root):
    save_masks(root, coloured({0: (9, 9, 9), 1: (1, 2, 3), 2: (4, 5, 6)}))
    for colours in (("4,5,6", "1,2,3"), ("1,2,3", "4,5,6")):
        (root / "labelmap.txt").write_text("background:9,9,9::\ncat:{}::\ndog:{}::\n".format(*colours))
        found = load_voc(root, "segmentation")

    assert agrees(found)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        (lambda values: Image.fromarray(values * 127), "class 127"),
        (lambda values: Image.fromarray((values > 0).astype(np.uint8) * 255), "no pixel"),
        (lambda values: Image.fromarray(values * 0), "no pixel"),
        (lambda values: Image.fromarray(values * 0 + 255), "no pixel"),
        (lambda values: Image.fromarray(values.astype(np.uint16) * 300), "class 300"),
        (lambda values: Image.fromarray(values * 100).convert("RGBA"), "RGBA"),
        (coloured({1: (128, 0, 0), 2: (1, 77, 3)}), "(1, 77, 3)"),
        (lambda values: Image.fromarray(values * 120).resize((97, 65), Image.Resampling.BILINEAR), "smoothed"),
    ],
)
def test_masks_that_do_not_hold_the_classes_are_refused(root, change, value):
    (root / "classes.txt").write_text("cat\ndog")
    save_masks(root, change)
    with pytest.raises(DataError) as caught:
        load_voc(root, "segmentation")
    assert value in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_white_is_the_one_class_of_a_binary_set(tmp_path, mode):
    root = write_voc(tmp_path / "own", names=("cat",), listed="cat")
    save_masks(root, lambda values: Image.fromarray(values * 255).convert(mode))
    found = load_voc(root, "segmentation")

    assert agrees(found)
    assert set(np.unique(found.train.masks)) == {0, 1}
    assert any("255 is read as the one class" in sentence for sentence in found.assumptions) == (mode != "1")


def test_255_is_unknown_in_a_set_of_one_class_that_has_pixels(tmp_path):
    root = write_voc(tmp_path / "own", names=("cat",), listed="cat")
    save_masks(root, lambda values: Image.fromarray(np.pad(values[1:], ((1, 0), (0, 0)), constant_values=255)))
    masks = load_voc(root, "segmentation").train.masks

    assert (masks[:, 0] == IGNORED).all()
    assert (masks[:, 15:42, 10:30] == 1).all()


def test_a_class_without_a_pixel_is_said(root):
    (root / "classes.txt").write_text("cat\ndog\nemu")
    assert any("'emu'" in sentence for sentence in load_voc(root, "segmentation").assumptions)
    assert any("'emu'" in sentence for sentence in load_voc(root).assumptions)


def test_a_damaged_mask_is_counted_as_such(root):
    (root / "SegmentationClass" / "0.png").write_bytes(b"no image")
    file = root / "SegmentationClass" / "1.png"
    file.write_bytes(file.read_bytes()[:-30])
    found = load_voc(root, "segmentation")

    assert all("its mask:" in entry.reason for entry in found.skipped)
    assert sorted(entry.example for entry in found.skipped) == ["JPEGImages/0.png", "JPEGImages/1.png"]


def test_a_mask_of_another_shape_is_left_out(root):
    Image.new("L", (HEIGHT, WIDTH)).save(root / "SegmentationClass" / "0.png")
    assert counts(load_voc(root, "segmentation")) == {"images whose labels are for another width and height": 1}


def test_more_classes_than_a_mask_holds_are_refused(root):
    (root / "classes.txt").write_text("\n".join(f"c{i}" for i in range(255)))
    with pytest.raises(DataError, match=r"255 classes.*254"):
        load_voc(root, "segmentation")


@pytest.mark.parametrize("task", ["detection", "segmentation"])
@pytest.mark.parametrize("orientation", BACK)
def test_labels_of_the_upright_image_lie_on_its_objects(root, orientation, task):
    for i in range(8):
        save_turned(root / "JPEGImages" / f"{i}.png", draw(("cat", "dog")[i % 2]), orientation)
    assert agrees(load_voc(root, task))


def test_deep_images_are_scaled(root):
    for i in range(8):
        grey = np.full((HEIGHT, WIDTH), 9000, np.uint16)
        grey[INSIDE] = 40000
        Image.fromarray(grey).save(root / "JPEGImages" / f"{i}.png")
    found = load_voc(root)

    assert set(np.unique(found.train.pixels[:, 18:42, 12:28])) == {40000 >> 8}
    assert any("16 bits" in sentence for sentence in found.assumptions)
