"""How folders are read: parts by their names, classes, and every other file counted with its reason."""

import itertools
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from mvsearch.data import find_classes, find_encoded, load
from mvsearch.data._roles import role_of
from mvsearch.errors import DataError

CLASSES = ("cat", "dog")
CHECK = ("data", "check", "folder", "--size", "8", "--path")
NOWHERE = "links that lead nowhere, pipes and devices"
NUMBERS = itertools.count()  # of images, so that no two have the same bytes


@pytest.fixture
def root(tmp_path):
    return tmp_path / "set"


def add(folder, *names, colour=0):
    """Images of different bytes under these names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or ("0.png", "1.png"):
        Image.new("RGB", (8, 8), (colour, next(NUMBERS) % 256, 0)).save(folder / name, "PNG")


def add_classes(folder, classes=CLASSES, colour=0):
    for name in classes:
        add(folder / name, colour=colour)


def used(found):
    return {part.name(i): part.classes[part.labels[i]] for part in (found.train, found.test) for i in range(len(part))}


def reasons(found):
    return {entry.reason: entry.count for entry in found.skipped}


def refusal(root):
    with pytest.raises(DataError) as caught:
        find_encoded(root)
    return caught.value


# Parts


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Train", "Test"),
        ("TRAIN", "VAL"),
        ("Training", "Testing"),
        ("seg_train", "seg_test"),
        ("train", "valid"),
        ("training", "validation"),
        ("train", "dev"),
        ("train", "eval"),
        ("images_train", "images_test"),
        ("train_set", "test_set"),
        ("trainSet", "testSet"),
        ("TrainImages", "ValImages"),
        ("train2017", "val2017"),
        ("trainval", "test"),
        ("flowers-training", "flowers-validation"),
        ("trainset", "testset"),
        ("train", "holdout"),
    ],
)
def test_parts_are_recognised_by_every_usual_spelling(root, train, test):
    add_classes(root / train)
    add_classes(root / test, colour=9)
    found = find_encoded(root)

    assert found.train.classes == find_classes(root) == CLASSES
    assert {name.split("/")[0] for name in used(found)} == {train, test}
    assert all(found.test.name(i).startswith(test) for i in range(4))
    assert bool(found.assumptions) == ((train, test) != ("train", "test"))


@pytest.mark.parametrize("name", ["cat", "contest", "invalid", "retrain", "latest", "train_test_split", "2017"])
def test_other_names_have_no_role(name):
    assert role_of(name) is None


def test_of_three_parts_validation_is_left_out_and_counted(root):
    for part in ("train", "test", "val"):
        add_classes(root / part)
    found = find_encoded(root)

    assert len(found.train) == len(found.test) == 4
    assert found.test.name(0).startswith("test/")
    assert [entry.count for entry in found.skipped] == [4]
    assert found.skipped[0].example.startswith("val/")
    assert any("left out val" in sentence for sentence in found.assumptions)


@pytest.mark.parametrize("extra", ["unlabeled", "extra", "seg_pred", "predict", "test"])
def test_folders_without_classes_beside_the_parts_are_left_out_and_counted(root, extra):
    add_classes(root / "train")
    add_classes(root / "val")
    add(root / extra, "a.png", "b.png", "c.png")
    (root / "labels.csv").write_text("a,b")
    found = find_encoded(root)

    assert len(found.train) == len(found.test) == 4
    assert sorted(reasons(found).values()) == [1, 3]


@pytest.mark.parametrize("names", [("train", "test"), ("Train", "Val"), ("trainA", "testA", "trainB", "testB")])
def test_loose_images_in_train_and_test_are_refused(root, names):
    for name in names:
        add(root / name)

    assert refusal(root).file == str(root)
    assert "train/CLASS" in str(refusal(root))


@pytest.mark.parametrize(
    "names",
    [
        ("train", "Train", "test"),  # two for one part
        ("cats_train", "cats_test", "dogs_train", "dogs_test"),  # parts inside classes
        ("train", "car"),  # no test part
        ("test", "car"),  # no training part
        ("entrenamiento", "prueba"),  # parts of unknown names, by what is in them
        ("fold1", "fold2", "fold3"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(root, names):
    for i, name in enumerate(names):
        add_classes(root / name, (*CLASSES, "emu")[: 3 - i % 2] if len(names) == 2 else CLASSES)

    assert refusal(root).file == str(root)


def test_test_images_without_classes_are_no_test_part(root):
    add_classes(root / "train")
    add(root / "test")

    assert str(root / "train") in str(refusal(root))


def test_parts_of_which_one_has_no_classes_are_refused(root):
    add_classes(root / "asl_alphabet_train")
    add(root / "asl_alphabet_test")

    assert "asl_alphabet_test contains no folders" in str(refusal(root))


def test_lists_of_parts_beside_classes_are_not_obeyed_and_said(root):
    add_classes(root)
    for name in ("train.txt", "test.csv", "README.txt"):
        (root / name).write_text("cat/0")

    assert find_encoded(root).assumptions == ("test.csv and train.txt not read: the seed splits the images",)


def test_parts_inside_classes_are_refused(root):
    for name in CLASSES:
        add_classes(root / name, ("train", "test"))

    assert refusal(root).file == str(root / "cat")


@pytest.mark.parametrize("inner", ["seg_train", "images"])
def test_a_single_folder_around_the_parts_or_the_classes_stands_for_them(root, inner):
    add_classes(root / "archive" / "v2" / "seg_train" / inner)
    add_classes(root / "archive" / "v2" / "seg_test" / inner.replace("train", "test"))
    (root / "__MACOSX").mkdir()
    (root / "archive" / "README.md").write_text("where it came from")
    found = find_encoded(root)

    assert found.train.classes == find_classes(root) == CLASSES
    assert len(found.train) == len(found.test) == 4
    assert reasons(found) == {"files outside the folders of classes": 1}
    assert any("archive" in sentence for sentence in found.assumptions)

    add_classes(root.parent / "flowers" / "flower_photos")
    assert find_encoded(root.parent / "flowers").train.classes == CLASSES


def test_folders_inside_classes_belong_to_the_class(root):
    add(root / "cat" / "indoors" / "night", "a.png")
    add(root / "cat", "b.png")
    add(root / "dog" / "2019", "c.png", "d.png")
    found = find_encoded(root)

    assert used(found) == {"cat/b.png": "cat", "cat/indoors/night/a.png": "cat"} | {
        f"dog/2019/{name}.png": "dog" for name in "cd"
    }
    assert any("below cat" in sentence for sentence in found.assumptions)


def test_a_class_may_be_named_as_a_part_alone_but_it_is_said(root):
    add_classes(root, ("car", "train"))
    add_classes(root.parent / "lab", ("test_tube", "bullet_train"))

    assert find_encoded(root).assumptions == ("read train as the name of a class",)
    assert find_encoded(root.parent / "lab").assumptions == ()


@pytest.mark.parametrize("other", ["Dog", "dog ", "do\u0301g"])
def test_classes_of_one_part_only_are_refused_with_the_name_that_may_be_meant(root, other):
    add_classes(root / "train", ("cat", "d\u00f3g" if "\u0301" in other else "dog"))
    add_classes(root / "test", ("cat", other))

    assert str(root / "train" / other) in str(refusal(root)) or str(root / "test" / other) in str(refusal(root))
    assert "differs only" in str(refusal(root))


def test_classes_that_differ_in_case_are_kept_apart_and_said(root):
    add_classes(root, ("A", "a", "b"))
    found = find_encoded(root)

    assert found.train.classes == ("A", "a", "b")
    assert any("2 classes apart" in sentence for sentence in found.assumptions)


def test_an_empty_class_is_refused_with_what_it_contains_instead(root):
    add_classes(root)
    (root / "owl").mkdir()
    assert refusal(root).file == str(root / "owl")

    for i in range(3):
        (root / "owl" / f"{i}.HEIC").write_bytes(b"x")
    assert "3 .heic" in str(refusal(root))


# Files


HIDDEN = (
    *(".ipynb_checkpoints", ".Trash-0", ".git", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "lost+found", "#recycle"),
    *("@__thumb", "System Volume Information"),
)


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_and_system_folders_are_left_out_at_any_depth_and_counted(root, name):
    add_classes(root)
    for folder in (root, root / "cat", root / "cat" / "deep"):
        add(folder / name / "files", "x.png", ".y.png")
    add(root / "cat" / "deep", "z.png")
    found = find_encoded(root)

    assert len(used(found)) == 5
    assert reasons(found) == {"hidden or system files": 6}


def test_hidden_files_and_other_files_are_counted_by_reason(root):
    add_classes(root)
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (root / "cat" / name).write_bytes(b"x")
    for name in ("a.HEIC", "b.heic", "c.NEF", "d.pdf", "e.mp4", "f.mpg", "IMG_0001", "notes.txt"):
        (root / "dog" / name).write_bytes(b"x")
    found = find_encoded(root)

    assert len(used(found)) == 4
    assert reasons(found)["hidden or system files"] == 4
    assert reasons(found)["files without a suffix"] == 1
    by_suffix = {reason.split()[0]: count for reason, count in reasons(found).items()}
    assert by_suffix | {"hidden": 4, "files": 1} == by_suffix
    assert [by_suffix[suffix] for suffix in (".heic", ".nef", ".pdf", ".mp4", ".mpg", ".txt")] == [2, 1, 1, 1, 1, 1]


def test_links_are_followed_and_cycles_and_dead_links_are_counted(root, tmp_path):
    add_classes(root)
    add(tmp_path / "elsewhere", "e.png", "f.png")
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "owl").symlink_to(tmp_path / "elsewhere")
    (root / "dog" / "e.png").symlink_to(tmp_path / "elsewhere" / "e.png")
    (root / "dog" / "gone.png").symlink_to("/nowhere/x.png")
    (root / "dog" / "itself.png").symlink_to(root / "dog" / "itself.png")
    (root / "cat" / "loop").symlink_to(root)
    (root / "cat" / "self").symlink_to(root / "cat")
    found = find_encoded(root)

    classes = used(found)
    assert classes["cat/more/e.png"] == "cat"
    assert classes["owl/f.png"] == "owl"
    assert classes["dog/e.png"] == "dog"
    assert len(classes) == 9
    assert reasons(found) == {
        "links that lead nowhere, pipes and devices": 2,
        "links to a folder that contains them": 2,
    }


def test_a_decoded_folder_counts_what_a_streamed_one_counts(root, monkeypatch, tmp_path):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    add_classes(root)
    add(root / ".Trash", "x.png")
    (root / "dog" / "gone.png").symlink_to("/nowhere/x.png")
    add(root / "dog", "2.png", "3.png")
    (root / "dog" / "page.jpg").write_text("<html>")
    decoded, streamed = load("folder", path=root, size=8), find_encoded(root)

    assert set(streamed.skipped) < set(decoded.skipped)
    assert [entry.example for entry in set(decoded.skipped) - set(streamed.skipped)] == ["dog/page.jpg"]


def test_an_image_of_another_format_than_its_suffix_is_read(root, monkeypatch, tmp_path):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    add_classes(root)
    add(root / "cat", "really-a-png.jpg")
    found = load("folder", path=root, size=8)

    assert (found.skipped, len(found.train.labels) + len(found.test.labels)) == ((), 5)


def test_file_names_need_not_be_utf_8(root, monkeypatch, tmp_path):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    add_classes(root)
    source = os.fsencode(root / "cat" / "0.png")
    Path(os.fsdecode(os.fsencode(root) + b"/owl\xe9")).mkdir()
    for name in (b"/cat/\xff.png", b"/owl\xe9/a.png", b"/owl\xe9/b\xe9.png"):
        shutil.copy(source, os.fsencode(root) + name)
    Path(os.fsdecode(os.fsencode(root) + b"/cat/\xfe.txt")).touch()
    streamed, decoded = find_encoded(root), load("folder", path=root, size=8)

    assert streamed.train.classes == decoded.train.classes == ("cat", "dog", "owl\\udce9")
    assert len(used(streamed)) == len(decoded.train.labels) + len(decoded.test.labels) == 7
    assert all(part.open(i).is_file() for part in (streamed.train, streamed.test) for i in range(len(part)))
    for text in (*used(streamed), *(entry.example for entry in decoded.skipped), decoded.source, *decoded.assumptions):
        assert text.encode()


def test_images_in_both_parts_and_in_two_classes_are_counted(root, monkeypatch, tmp_path):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    add_classes(root / "train")
    add_classes(root / "test", colour=9)
    assert not load("folder", path=root, size=8).assumptions

    shutil.copy(root / "train" / "cat" / "1.png", root / "test" / "cat" / "copy.png")
    shutil.copy(root / "train" / "cat" / "0.png", root / "train" / "dog" / "wrong.png")
    leaked, mixed = load("folder", path=root, size=8).assumptions[:2]

    assert leaked.startswith("1 of 5 test images")
    assert "test/cat/copy.png" in leaked
    assert "train/dog/wrong.png" in mixed


# The command


def test_check_prints_classes_sizes_and_what_was_skipped_and_assumed(root, monkeypatch, tmp_path, mvsearch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    add_classes(root / "Training")
    add_classes(root / "Testing")
    Image.new("L", (30, 20), 7).save(root / "Training" / "cat" / "grey.png")
    (root / "Testing" / "dog" / "a.HEIC").write_bytes(b"x")
    report = mvsearch(*CHECK, str(root), "--json").json

    assert report["classes"] == ["cat", "dog"]
    assert report["counts"] == {"cat": {"train": 3, "test": 2}, "dog": {"train": 2, "test": 2}}
    assert report["native"]["width"] == {"min": 8, "median": 8, "max": 30}
    assert report["native"]["encodings"] == {"grey": 1}
    assert report["skipped"][0] | {"reason": ""} == {"reason": "", "count": 1, "example": "Testing/dog/a.HEIC"}
    assert report["assumptions"] == ["read Training as train and Testing as test"]

    text = mvsearch(*CHECK, str(root)).out
    for words in ("cat", "8 to 30 px", "1 grey", "1 .heic", "read Training as train"):
        assert words in text


def test_check_reads_shards(root, monkeypatch, tmp_path, mvsearch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    add(root, "a.png", "b.png")
    for part in ("train", "test"):
        with tarfile.open(root / f"{part}.tar", "w") as tar:
            for label, name in enumerate("ab"):
                (root / f"{name}.cls").write_text(str(label))
                tar.add(root / f"{name}.png", f"{name}.png")
                tar.add(root / f"{name}.cls", f"{name}.cls")
    report = mvsearch(*CHECK, str(root), "--json").json

    assert report["counts"] == {name: {"train": 1, "test": 1} for name in "01"}
    assert [entry["count"] for entry in report["skipped"]] == [4]
    assert find_classes(root) == ()


@pytest.mark.parametrize(
    ("names", "found"), [(("0.png", "1.png"), "2 images"), (("train.zip",), "1 .zip files"), ((), "no folders;")]
)
def test_a_folder_without_folders_is_refused_with_what_it_contains(root, names, found):
    root.mkdir()
    add(root, *names) if names else None

    assert found in str(refusal(root))


@pytest.mark.parametrize("names", [("images", "masks"), ("Images", "annotations")])
def test_folders_named_after_their_content_are_said_to_be_read_as_classes(root, names):
    add_classes(root, names)

    assumptions = find_encoded(root).assumptions

    assert [f"read {name} as the name of a class" in assumptions for name in names] == [True, True]


def test_a_file_that_is_deleted_after_it_is_listed_is_counted(root, monkeypatch, tmp_path):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    add(root / "cat", *(f"{i}.png" for i in range(6)))
    add(root / "dog", *(f"{i}.png" for i in range(6)))
    listed = find_encoded(root)
    deleted = listed.train.files[0]
    monkeypatch.setattr(
        "mvsearch.data.folder.find_encoded", lambda *_, **__: (deleted.unlink(missing_ok=True), listed)[1]
    )

    data = load("folder", path=root, size=8)

    assert [(entry.count, entry.example) for entry in data.skipped] == [(1, deleted.relative_to(root).as_posix())]
