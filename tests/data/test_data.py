"""Images: every source keeps the contract, the cache is whole whoever builds it, and what is wrong is said."""

import io
import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
import time
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mvsearch import data
from mvsearch.arch.published import TASKS
from mvsearch.cli.data import data as command
from mvsearch.data import _cifar, cifar10, cifar100, fashion_mnist, folder, photos
from mvsearch.errors import DataError, EnvironmentFault, MvsearchError
from mvsearch.export.images import draw_samples
from mvsearch.utils import plugins
from mvsearch.utils.installation import install_hint

KINDS = ("cat", "dog", "owl")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make_folder(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.jpg")
    return root


def refusal(**options: object) -> DataError:
    with pytest.raises(DataError) as caught:
        data.load("folder", **options)
    return caught.value


# The kind


@pytest.mark.parametrize("name", plugins.names("data_source"))
def test_every_source_defines_what_the_folder_asks_of_it(name):
    source = data.load_source(name)

    assert isinstance(source, data.DataSource)
    assert source.description
    assert source.licence
    assert set(source.tasks) <= set(TASKS)
    assert source.tasks
    assert list(signature(source.get).parameters) == ["path", "progress"]
    assert list(signature(source.load).parameters) == ["request", "progress"]
    assert list(signature(source.check).parameters) == ["path", "progress"]


def test_every_source_gives_uint8_images_with_labels_that_count_into_its_classes(cache, tmp_path):
    path = {
        "folder": make_folder(tmp_path / "pets", dict.fromkeys(KINDS, 4)),
        "cifar10": cifar_archive(tmp_path, cifar10, 0),
        "cifar100": cifar_archive(tmp_path, cifar100, 1),
    }
    for name in plugins.names("data_source"):
        if name == "fashion_mnist" or "classification" not in data.tasks(name):
            continue  # below, from its own cache; scenes have tests of their own
        found = data.load(name, path=path.get(name))
        for part in (found.train, found.test):
            assert part.pixels.dtype == np.uint8
            assert part.pixels.shape[3] == 3
            assert not part.pixels.flags.writeable
            assert isinstance(part.pixels, np.memmap)
            assert part.labels.dtype == np.int64
            assert 0 <= part.labels.min() <= part.labels.max() < len(part.classes)
            assert len(part.labels) == len(part.pixels)


def test_a_misspelt_source_is_answered_with_the_nearest():
    with pytest.raises(DataError, match="did you mean 'fashion_mnist'"):
        data.load("fashion_mnst")


def test_the_room_is_light():
    code = "import sys, mvsearch.data, mvsearch.cli.data; print({'torch', 'PIL', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


# Fashion-MNIST, the real one


def test_fashion_mnist_is_the_published_set_padded_to_32_px():
    found, facts = data.check("fashion_mnist")

    assert found.train.pixels.shape == (60000, 32, 32, 1)
    assert found.test.pixels.shape == (10000, 32, 32, 1)
    assert set(np.bincount(found.train.labels)) == {6000}
    assert set(np.bincount(found.test.labels)) == {1000}
    assert found.train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert not found.train.pixels[:, :2].any()
    assert found.train.pixels[:, 2:30, 2:30].mean() == pytest.approx(72.94, abs=0.01)
    assert sum("SHA-256" in fact for fact in facts) == 4


def test_a_fashion_file_that_was_altered_is_refused_by_name(tmp_path):
    source = fashion_mnist.get(None, None)
    for name in fashion_mnist.FILES:
        (tmp_path / name).write_bytes((source / name).read_bytes())
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(labels.read_bytes()[:-100])

    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz"):
        data.load("fashion_mnist", path=tmp_path)


def test_a_machine_without_network_or_packages_is_told_what_to_do_in_one_sentence(cache, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "PACKAGED", cache / "nowhere")
    monkeypatch.setattr(fashion_mnist, "ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv("PATH", "")

    with pytest.raises(DataError, match="dataset-fashion-mnist") as caught:
        data.load("fashion_mnist")
    assert "\n" not in str(caught.value)


def test_a_size_that_a_set_does_not_come_in_is_refused():
    with pytest.raises(DataError, match="32 px"):
        data.load("fashion_mnist", size=64)


# Splitting


def test_a_split_is_stratified_disjoint_and_the_same_for_the_same_seed():
    labels = np.repeat([0, 1, 2], [100, 50, 3])
    kept, held = data.stratified_split(labels, 0.1, 7)

    assert np.bincount(labels[held]).tolist() == [10, 5, 1]
    assert sorted([*kept, *held]) == list(range(153))
    assert held.tolist() == data.stratified_split(labels, 0.1, 7)[1].tolist()
    assert held.tolist() != data.stratified_split(labels, 0.1, 8)[1].tolist()


def test_a_class_of_one_image_cannot_be_split():
    with pytest.raises(DataError, match="class 1"):
        data.stratified_split(np.array([0, 0, 1]), 0.5, 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_a_fraction_that_splits_nothing_is_refused(fraction):
    with pytest.raises(DataError, match="between 0 and 1"):
        data.stratified_split(np.array([0, 0, 1, 1]), fraction, 0)


# A folder


def test_a_folder_with_a_test_part_keeps_it(cache, tmp_path):
    make_folder(tmp_path / "pets" / "train", {"cat": 6, "dog": 4})
    make_folder(tmp_path / "pets" / "val", {"cat": 3, "dog": 2}, seed=1)
    found = data.load("folder", path=tmp_path / "pets", size=48)

    assert found.train.classes == ("cat", "dog")
    assert found.train.pixels.shape == (10, 48, 48, 3)
    assert np.bincount(found.test.labels).tolist() == [3, 2]
    assert found.skipped == ()


def test_a_folder_without_one_is_split_by_the_seed(cache, tmp_path):
    path = make_folder(tmp_path / "pets", dict.fromkeys(KINDS, 10))
    first, second = (data.load("folder", path=path, test_fraction=0.2, seed=seed) for seed in (0, 1))

    assert first.train.pixels.shape == (24, 64, 64, 3)
    assert np.bincount(first.test.labels).tolist() == [2, 2, 2]
    assert first.checksum != second.checksum
    assert not {image.tobytes() for image in first.train.pixels} & {image.tobytes() for image in first.test.pixels}


def test_the_shorter_side_is_resized_and_the_middle_kept(cache, tmp_path):
    path = make_folder(tmp_path / "pets", {"cat": 4, "dog": 4})
    stripes = np.zeros((100, 300, 3), np.uint8)
    stripes[:, 100:200] = (0, 255, 0)
    for file in list((path / "cat").iterdir()):
        Image.fromarray(stripes).save(file.with_suffix(".png"))
        file.unlink()
    found = data.load("folder", path=path, size=50)

    inside = found.train.pixels[found.train.labels == 0][:, :, 1:-1]  # the resize blends a stripe's last column
    assert (inside == (0, 255, 0)).all()


def test_an_image_that_a_camera_marked_as_turned_is_turned_upright(cache, tmp_path):
    path = make_folder(tmp_path / "pets", {"cat": 4, "dog": 4})
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:32] = 255
    for file in (path / "cat").iterdir():
        Image.fromarray(halves).save(file, exif=exif)
    cat = data.load("folder", path=path).test
    image = cat.pixels[cat.labels == 0][0]

    assert image[:30].max() < 30
    assert image[34:].min() > 225


def test_a_broken_image_is_counted_and_passed_over(cache, tmp_path):
    path = make_folder(tmp_path / "pets", dict.fromkeys(KINDS, 6))
    whole = (path / "cat" / "0.jpg").read_bytes()
    (path / "cat" / "0.jpg").write_bytes(whole[: len(whole) // 2])
    (path / "dog" / "1.jpg").write_bytes(b"")
    (path / "owl" / "2.jpg").write_text("no image")
    (path / "owl" / "notes.txt").write_text("not counted")
    (path / "owl" / "._3.jpg").write_text("what a file manager leaves behind is not counted either")
    found = data.load("folder", path=path)

    assert data.count_broken(found.skipped) == 3
    assert len(found.train.pixels) + len(found.test.pixels) == 15
    assert data.load("folder", path=path).skipped == found.skipped


def test_a_class_that_is_mostly_broken_is_an_error_that_names_it(cache, tmp_path):
    path = make_folder(tmp_path / "pets", dict.fromkeys(KINDS, 10))
    for i in range(8):
        (path / "dog" / f"{i}.jpg").write_bytes(b"broken")

    words = str(refusal(path=path))
    assert "images of class dog cannot be read" in words
    assert not list((cache / "decoded").glob("*.partial"))


def test_what_is_wrong_with_a_folder_is_said_with_its_path(cache, tmp_path):
    path = make_folder(tmp_path / "pets", {"cat": 3, "dog": 3})
    (path / "owl").mkdir()
    assert refusal(path=path).file == str(path / "owl")

    assert refusal(path=tmp_path / "pests").file == str(tmp_path / "pests")
    assert "--path" in str(refusal())
    assert refusal(path=path / "cat").file == str(path / "cat")

    one = make_folder(tmp_path / "one", {"cat": 3})
    assert "cat" in str(refusal(path=one))

    lonely = make_folder(tmp_path / "lonely", {"cat": 3, "dog": 1})
    assert refusal(path=lonely).file == str(lonely / "dog")

    assert "size=2" in str(refusal(path=lonely, size=2))


def test_train_and_test_must_have_the_same_classes(cache, tmp_path):
    make_folder(tmp_path / "train", {"cat": 3, "dog": 3})
    assert refusal(path=tmp_path).file == str(tmp_path)

    make_folder(tmp_path / "test", {"cat": 3, "owl": 3})
    assert str(tmp_path / "train" / "dog") in str(refusal(path=tmp_path))


def test_a_class_may_be_called_train(cache, tmp_path):
    path = make_folder(tmp_path / "vehicles", {"car": 4, "train": 4})

    assert data.load("folder", path=path).train.classes == ("car", "train")


# The cache


def test_the_checksum_follows_the_pixels_and_nothing_else(cache, tmp_path):
    path = make_folder(tmp_path / "pets", {"cat": 4, "dog": 4})
    before = data.load("folder", path=path).checksum
    elsewhere = make_folder(tmp_path / "copy", {"cat": 4, "dog": 4})
    assert data.load("folder", path=elsewhere).checksum == before

    Image.new("RGB", (90, 60), (1, 2, 3)).save(path / "cat" / "2.jpg")
    assert data.load("folder", path=path).checksum != before


def test_two_processes_that_build_at_once_give_one_whole_array(cache, tmp_path):
    path = make_folder(tmp_path / "pets", dict.fromkeys(KINDS, 60))
    code = (
        "import sys, time; from pathlib import Path; from PIL import Image; from mvsearch import data\n"
        "path, start = Path(sys.argv[1]), float(sys.argv[2])\n"
        "time.sleep(max(0, start - time.time()))\n"
        "print(data.check('folder', path=path, size=96)[0].checksum)"
    )
    command = [sys.executable, "-c", code, str(path), str(time.time() + 1.5)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [worker.communicate()[0].strip() for worker in workers]

    assert said == [data.load("folder", path=path, size=96).checksum] * 3
    assert len([entry for entry in (cache / "decoded").iterdir() if entry.is_dir()]) == 1


def test_what_a_killed_process_left_behind_is_built_anew(cache, tmp_path):
    path = make_folder(tmp_path / "pets", {"cat": 4, "dog": 4})
    checksum = data.load("folder", path=path).checksum
    (whole,) = [entry for entry in (cache / "decoded").iterdir() if entry.is_dir()]
    whole.rename(whole.with_name(whole.name + ".partial"))
    (whole.with_name(whole.name + ".partial") / "test.pixels").unlink()

    assert data.load("folder", path=path).checksum == checksum


def test_decoded_images_that_changed_on_disk_are_found_by_check(cache, tmp_path):
    path = make_folder(tmp_path / "pets", {"cat": 4, "dog": 4})
    data.load("folder", path=path)
    (file,) = (cache / "decoded").glob("*/train.pixels")
    raw = bytearray(file.read_bytes())
    raw[100] ^= 1
    file.write_bytes(raw)
    with pytest.raises(DataError, match=str(cache)):
        data.check("folder", path=path)

    file.write_bytes(raw[:100])
    with pytest.raises(DataError, match="damaged"):
        data.load("folder", path=path)


def test_a_cache_that_cannot_be_written_is_the_machines_fault(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "file"))
    path = make_folder(tmp_path / "pets", {"cat": 4, "dog": 4})

    with pytest.raises(EnvironmentFault, match="set MVSEARCH_CACHE"):
        data.load("folder", path=path)


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX thing")
def test_a_disk_that_fills_up_leaves_one_sentence_and_nothing_half_written(cache, tmp_path):
    path = make_folder(tmp_path / "pets", {"cat": 20, "dog": 20})
    code = (
        "import resource, sys; from pathlib import Path; from mvsearch import data, errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try: data.load('folder', path=Path(sys.argv[1]))\n"
        "except errors.EnvironmentFault as fault: print(fault)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)

    assert "cannot be written (File too large)" in said.stdout, said.stderr
    assert not [entry for entry in (cache / "decoded").iterdir() if entry.is_dir()]


# CIFAR


def cifar_files(form: _cifar.Form) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    names = [f"class{i}" for i in range(100 if form.label_bytes == 2 or b"fine" in form.names_key else 10)]
    files = {}
    for name in (*form.train, form.test):
        labels = rng.integers(0, len(names), 20)
        pixels = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
        if form.labels_key:
            batch = {form.labels_key: labels.tolist(), b"data": pixels, b"batch_label": b"x"}
            files[name] = pickle.dumps(batch, protocol=2)
        else:
            coarse = [labels[:, None] * 0] * (form.label_bytes - 1)
            files[name] = np.hstack([*coarse, labels[:, None], pixels]).astype(np.uint8).tobytes()
    text = "\n".join(names).encode() + b"\n\n"
    listed = pickle.dumps({form.names_key: [name.encode() for name in names]}, protocol=2)
    return files | {form.names: listed if form.names_key else text}


def cifar_archive(folder: Path, module, form_number: int, **replaced: bytes) -> Path:
    form = module.CIFAR.forms[form_number]
    path = folder / form.archive
    with tarfile.open(path, "w:gz") as archive:
        for name, raw in (cifar_files(form) | replaced).items():
            entry = tarfile.TarInfo(f"{form.folder}/{name}")
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))
    return path


def test_an_export_is_verified_on_images_of_a_fixed_size_that_are_enlarged_for_the_network(cache, tmp_path):
    archive = cifar_archive(tmp_path, cifar10, 0)
    sample, _ = draw_samples(data.DataSettings("cifar10", str(archive)), 64, 4, 0)
    assert sample.images.shape == (4, 3, 64, 64)


@pytest.mark.parametrize("module", [cifar10, cifar100])
def test_cifar_gives_the_same_images_from_pickles_and_from_bytes_packed_and_unpacked(cache, tmp_path, module):
    found = []
    for number in (0, 1):
        archive = cifar_archive(tmp_path, module, number)
        found.append(data.load(module.CIFAR.name, path=archive))
        with tarfile.open(archive) as packed:
            packed.extractall(tmp_path / f"open{number}", filter="data")
        found.append(data.load(module.CIFAR.name, path=tmp_path / f"open{number}"))

    assert len({each.checksum for each in found}) == 1
    assert found[0].train.pixels.shape == (20 * len(module.CIFAR.forms[0].train), 32, 32, 3)
    raw = pickle.loads(cifar_files(module.CIFAR.forms[0])[module.CIFAR.forms[0].train[0]])
    assert (found[0].train.pixels[3, :, :, 1].ravel() == raw[b"data"][3, 1024:2048]).all()
    assert found[0].train.labels[:20].tolist() == raw[module.CIFAR.forms[0].labels_key]


class Malicious:
    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def test_a_pickle_that_would_run_code_is_refused(cache, tmp_path):
    evil = pickle.dumps({b"labels": [0], b"data": Malicious(tmp_path / "harm")}, protocol=2)
    archive = cifar_archive(tmp_path, cifar10, 0, data_batch_3=evil)

    with pytest.raises(DataError, match=r"data_batch_3 .*mkdir"):
        data.load("cifar10", path=archive)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("raw", [b"", b"garbage", pickle.dumps([1]), pickle.dumps({b"labels": [], b"data": 3})])
def test_a_cifar_file_of_another_form_is_refused_by_name(cache, tmp_path, raw):
    with pytest.raises(DataError, match="data_batch_2"):
        data.load("cifar10", path=cifar_archive(tmp_path, cifar10, 0, data_batch_2=raw))


def test_a_cifar_archive_that_is_missing_or_cut_short_is_said_with_what_to_do(cache, tmp_path):
    with pytest.raises(DataError, match=r"cifar-100-python\.tar\.gz"):
        data.load("cifar100")

    archive = cifar_archive(tmp_path, cifar10, 1)
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(DataError, match="fetch the archive again"):
        data.load("cifar10", path=archive)


def test_check_says_that_an_archive_is_not_the_published_one(cache, tmp_path):
    _, facts = data.check("cifar10", path=cifar_archive(tmp_path, cifar10, 0))

    assert "is not that of the published archive" in facts[0]


# Photographs


def test_no_cell_of_a_photograph_is_on_both_sides():
    pixels = np.random.default_rng(0).integers(0, 256, (430, 640, 3), dtype=np.uint8)
    sides = []
    for cells in photos.split_cells(pixels, np.random.default_rng(3)):
        seen = np.zeros(pixels.shape[:2], bool)
        for top, left in photos.patch_corners(cells, 160, np.random.default_rng(4)):
            seen[top : top + photos.CROP, left : left + photos.CROP] = True
        sides.append(seen)

    assert all(seen.any() for seen in sides)
    assert not (sides[0] & sides[1]).any()


def test_photos_are_balanced_and_follow_the_seed(cache):
    found, again = data.load("photos"), data.load("photos", seed=1)

    assert found.train.pixels.shape == (12 * 160, 32, 32, 3)
    assert set(np.bincount(found.test.labels)) == {40}
    assert found.checksum != again.checksum
    assert data.load("photos").checksum == found.checksum


def test_a_missing_package_is_said_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(photos.PHOTOS, "astronaut", "no_such_package/data/astronaut.png")

    with pytest.raises(EnvironmentFault, match=re.escape(install_hint("photos"))):
        data.load("photos")


def test_photos_take_no_path(tmp_path):
    with pytest.raises(DataError, match="photos"):
        data.load("photos", path=tmp_path)


# The command


def test_list_names_every_source_on_stdout_as_json():
    rows = json.loads(CliRunner().invoke(command, ["list", "--json"]).stdout)

    assert tuple(row["name"] for row in rows) == plugins.names("data_source")
    assert "fashion_mnist" in CliRunner().invoke(command, ["list"]).stdout


def test_check_prints_one_json_document_with_what_the_library_gives(cache, tmp_path):
    path = make_folder(tmp_path / "pets", {"cat": 12, "dog": 20})
    report = json.loads(CliRunner().invoke(command, ["check", "folder", "--path", str(path), "--json"]).stdout)

    assert report["checksum"] == data.load("folder", path=path).checksum
    assert report["train"]["images"] + report["test"]["images"] == 32
    assert report["test"]["fewest_per_class"] == 1
    assert "checksum" in CliRunner().invoke(command, ["check", "folder", "--path", str(path)]).stdout
    assert json.loads(CliRunner().invoke(command, ["check", str(path), "--json"]).stdout) == report


def test_check_takes_a_folder_that_is_called_as_a_source_is(cache, tmp_path):
    path = make_folder(tmp_path / "folder", {"cat": 12, "dog": 20})
    report = json.loads(CliRunner().invoke(command, ["check", str(path), "--json"]).stdout)
    assert report["checksum"] == data.load("folder", path=path).checksum


def test_get_prints_where_the_files_are_and_refuses_what_it_does_not_know(tmp_path):
    said = CliRunner().invoke(command, ["get", "folder", "--path", str(tmp_path)])
    assert said.stdout.strip() == str(tmp_path)

    assert isinstance(CliRunner().invoke(command, ["get", "imagenet"]).exception, MvsearchError)


def test_a_folder_of_many_images_is_decoded_in_batches(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "BATCH", 3)
    path = make_folder(tmp_path / "pets", {"cat": 5, "dog": 5})
    batched = data.load("folder", path=path, size=24).checksum
    monkeypatch.undo()
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "other"))

    assert data.load("folder", path=path, size=24).checksum == batched


def test_a_subset_of_scenes_keeps_their_masks_and_boxes():
    pixels, labels = np.zeros((3, 2, 2, 3), np.uint8), np.arange(3)
    masks = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    boxes = np.array([[0, 1, 0, 0, 1, 1], [2, 2, 0, 0, 1, 1], [0, 3, 0, 0, 1, 1]], float)
    part = data.Images(pixels, labels, ("a", "b", "c"), masks, boxes).subset(np.array([2, 0]))

    assert part.labels.tolist() == part.masks[:, 0, 0].tolist() == [2, 0]
    assert part.boxes[:, :2].tolist() == [[1, 1], [0, 2], [1, 3]]
