"""Shards: which members are images, which class each has, and what is left out."""

import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from mvsearch.data import decode_image, find_encoded, in_shards, load
from mvsearch.errors import DataError


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write(path, *members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def read(root, *members):
    """A set whose training part is one shard of these members."""
    write(root / "train-0.tar", *members)
    write(root / "test-0.tar", ("t0.png", png(200)), ("t0.cls", b"0"), ("t1.png", png(201)), ("t1.cls", b"1"))
    return find_encoded(root)


def used(part):
    """The red of each image, by its name, with its class."""
    red = [int(decode_image(part.open(i), 8)[0][0, 0, 0]) for i in range(len(part))]
    return {part.name(i).partition(": ")[2]: (red[i], part.classes[part.labels[i]]) for i in range(len(part))}


def reasons(found):
    return {entry.reason: entry.count for entry in found.skipped}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        # names with dots are images of their own if their class files are
        (
            [("a.1.jpg", png(1)), ("a.1.cls", b"0"), ("a.2.jpg", png(2)), ("a.2.cls", b"1")],
            {"a.1.jpg": (1, "0"), "a.2.jpg": (2, "1")},
        ),
        ([("v1.5/a.jpg", png(1)), ("v1.5/a.cls", b"1")], {"v1.5/a.jpg": (1, "1")}),
        ([("a.rgb.png", png(1)), ("a.cls", b"1")], {"a.rgb.png": (1, "1")}),
        # upper case, `./`, byte-order marks, blanks and line ends
        ([("./a.JPG", png(1)), ("./a.CLS", b"1")], {"a.JPG": (1, "1")}),
        ([("a.jpg", png(1)), ("./a.cls", b"1")], {"a.jpg": (1, "1")}),
        ([("a.jpg", png(1)), ("a.cls", b"\xef\xbb\xbf 1 \r\n")], {"a.jpg": (1, "1")}),
        # the last member of a name counts, as when a shard is unpacked
        ([("a.jpg", png(1)), ("a.cls", b"0"), ("a.jpg", png(2)), ("a.cls", b"1")], {"a.jpg": (2, "1")}),
    ],
)
def test_every_image_has_its_own_class(tmp_path, members, expected):
    assert used(read(tmp_path, *members).train) == expected


def test_members_that_are_not_used_are_counted_by_reason(tmp_path):
    found = read(
        tmp_path,
        *(("a.jpg", png(1)), ("a.cls", b"0"), ("a.json", b"{}"), ("a.txt", b"words"), ("a.seg.png", png(2))),
        *(("._a.jpg", b"x"), (".hidden/b.jpg", png(3)), ("__MACOSX/._a.cls", b"0"), ("c.cls", b"1")),
        *(("b.jpg", png(4)), ("b.cls", b"1"), ("b.png", png(5))),
    )

    assert used(found.train) == {"a.jpg": (1, "0"), "b.jpg": (4, "1")}
    assert sum(reasons(found).values()) == 8
    assert reasons(found)["hidden or system files"] == 3
    assert reasons(found)["images of a class file that another image uses"] == 2
    assert reasons(found)["classes without an image"] == 1


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xef\xbb\xbf"])
def test_an_image_whose_class_is_blank_is_refused(tmp_path, content):
    with pytest.raises(DataError, match=r"a\.cls"):
        read(tmp_path, ("a.jpg", png(1)), ("a.cls", content))


@pytest.mark.parametrize("label", [b"cat", b"-1", b"1.5"])
def test_classes_are_all_numbers_from_0_or_all_words(tmp_path, label):
    with pytest.raises(DataError) as caught:
        read(tmp_path, ("a.jpg", png(1)), ("a.cls", label))

    assert label.decode() in str(caught.value)


def test_classes_without_images_are_noted(tmp_path):
    found = read(tmp_path, ("a.jpg", png(1)), ("a.cls", b"4"))

    assert found.train.classes == ("0", "1", "2", "3", "4")
    assert found.assumptions[0].startswith("2 of 5 classes have no images")


def test_classes_of_one_part_only_are_noted(tmp_path):
    found = read(tmp_path, ("a.jpg", png(1)), ("a.cls", b"0"))

    assert any("1 classes have images in one part only, such as 1" in sentence for sentence in found.assumptions)


def test_a_folder_that_does_not_exist_is_not_in_shards(tmp_path):
    assert not in_shards(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train-0.TAR", "Test-0.tar"),
        ("imagenet-train-0001.tar", "imagenet-validation-0001.tar"),
        ("training/0.tar", "valid/0.tar"),
    ],
)
def test_parts_of_shards_have_every_usual_name(tmp_path, train, test):
    for name, colour in ((train, 1), (test, 2)):
        write(tmp_path / name, ("a.png", png(colour)), ("a.cls", b"0"))
    found = find_encoded(tmp_path)

    assert used(found.train) == {"a.png": (1, "0")}
    assert used(found.test) == {"a.png": (2, "0")}


def test_shards_and_files_that_are_not_used_are_counted(tmp_path):
    write(tmp_path / "val-0.tar", ("a.png", png(1)), ("a.cls", b"0"))
    (tmp_path / "train-1.tar.gz").write_bytes(b"x")
    found = read(tmp_path, ("a.jpg", png(1)), ("a.cls", b"0"))

    assert reasons(found) == {"shards of no part that is used": 1, "files outside the shards": 1}


def test_an_archive_beside_folders_of_classes_is_not_a_shard(tmp_path):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / part / name / "0.png")
    (tmp_path / "train.tar").write_bytes(b"the archive that the folder was unpacked from")

    assert not in_shards(tmp_path)
    assert len(find_encoded(tmp_path).train) == 2


def test_names_in_shards_need_not_be_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    found = read(tmp_path, (f"{name}.png", png(1)), (f"{name}.cls", b"0"))

    assert used(found.train) == {"caf\\udce9.png": (1, "0")}
    assert np.asarray(found.train.names).dtype.kind == "S"


@pytest.mark.parametrize(
    "change", [lambda tar: tar + tar, lambda tar: tar[: 2 * 1024], lambda tar: tar[:2048] + b"x" * 512]
)
def test_a_shard_that_is_cut_between_members_or_continues_after_its_end_is_refused(tmp_path, change):
    read(tmp_path, ("a.png", png(1)), ("a.cls", b"0"), ("b.png", png(2)), ("b.cls", b"1"))
    shard = tmp_path / "train-0.tar"
    shard.write_bytes(change(shard.read_bytes()))

    with pytest.raises(DataError) as caught:
        find_encoded(tmp_path)

    assert caught.value.file == str(shard)


@pytest.mark.parametrize("label", [b"100000000", b"9" * 5000])
def test_numbers_far_beyond_the_classes_with_images_are_refused(tmp_path, label):
    with pytest.raises(DataError, match=label.decode()[:20]):
        read(tmp_path, ("a.png", png(1)), ("a.cls", label))


def test_a_number_may_be_padded(tmp_path):
    found = read(tmp_path, ("a.png", png(1)), ("a.cls", b"000\r\n"), ("b.png", png(2)), ("b.cls", b"001"))

    assert used(found.train) == {"a.png": (1, "0"), "b.png": (2, "1")}
    assert found.assumptions == ()


@pytest.mark.parametrize(
    ("names", "line"), [(b"cat\n\ndog\n", 2), (b"cat\ncat\n", 2), (b"\ncat\ndog\n", 1), (b"ch\xe4t\ndog\n", None)]
)
def test_a_list_of_classes_with_a_blank_or_repeated_name_is_refused(tmp_path, names, line):
    tmp_path.joinpath("classes.txt").write_bytes(names)

    with pytest.raises(DataError) as caught:
        read(tmp_path, ("a.png", png(1)), ("a.cls", b"0"))

    assert (caught.value.file, caught.value.line) == (str(tmp_path / "classes.txt"), line)


def test_a_list_of_classes_beside_shards_that_name_them_is_noted(tmp_path):
    tmp_path.joinpath("classes.txt").write_text("dog\ncat\n", encoding="utf-8")
    for part in ("train", "test"):
        write(tmp_path / f"{part}.tar", ("a.png", png(1)), ("a.cls", b"cat"), ("b.png", png(2)), ("b.cls", b"dog"))

    found = find_encoded(tmp_path)

    assert found.train.classes == ("cat", "dog")
    assert any(sentence.startswith("classes.txt not read") for sentence in found.assumptions)


def test_images_of_shards_in_both_parts_and_in_two_classes_are_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    read(
        tmp_path / "set",
        ("a.png", png(200)),
        ("a.cls", b"0"),
        ("b.png", png(2)),
        ("b.cls", b"1"),
        ("c.png", png(2)),
        ("c.cls", b"0"),
    )

    assert load("folder", path=tmp_path / "set", size=8).assumptions == (
        "1 of 2 test images are also in train, such as train-0.tar: a.png and test-0.tar: t0.png",
        "1 images are also in another class, such as train-0.tar: b.png and train-0.tar: c.png",
    )
