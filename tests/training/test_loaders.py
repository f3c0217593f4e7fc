"""Batches from files: the same for the same seed and epoch, whoever decodes them and wherever one starts."""

import io
import re
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from mvsearch.arch.published import published
from mvsearch.data import DataSettings, Images, decode_image, decoded_size, find_encoded, load
from mvsearch.errors import DataError
from mvsearch.training.distributed import ProcessGroup
from mvsearch.training.job import TrainingJob
from mvsearch.training.loader_set import LoaderSet
from mvsearch.training.loaders import CropPlan, DecodedLoader, StreamLoader
from mvsearch.training.recipe import Recipe
from mvsearch.training.sampler import ENOUGH_STEPS, Sampler, few_steps_note, shorten_warmup
from mvsearch.training.tasks import load_task
from mvsearch.training.trainer import Position

CLASSES = ("ant", "bee", "cat")


def numbered_image(i, side=40):
    """An image that its number can be read from: its red is the number."""
    pixels = np.zeros((side, side + 20, 3), np.uint8)
    pixels[...] = (5 * i, 10, 20)
    return Image.fromarray(pixels)


def encode(image, kind="PNG", **more):
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    for i in range(30):
        file = tmp_path / "set" / ("train" if i < 24 else "test") / CLASSES[i % 3] / f"{i:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        numbered_image(i).save(file)
    return tmp_path / "set"


def write_shard(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def shard(path, numbers, label=lambda i: str(i % 3)):
    images = {f"some.dir/{i:02}.png": encode(numbered_image(i)) for i in numbers}
    write_shard(path, images | {f"some.dir/{i:02}.cls": label(i).encode() for i in numbers})


@pytest.fixture
def shards(tmp_path):
    for k in range(4):
        shard(tmp_path / "set" / f"train-{k}.tar", range(6 * k, 6 * k + 6))
    shard(tmp_path / "set" / "val-0.tar", range(24, 30))
    return tmp_path / "set"


@pytest.fixture(params=["folder", "shards"])
def either(request):
    return request.getfixturevalue(request.param)


def sample_epoch(files, batch, epoch=0, *, start=0, seed=0, shares=1):
    """The numbers of the images in each batch of an epoch."""
    shards = None if files.spans is None else files.spans[:, 0]
    recipe = Recipe(batch=batch, epochs=4)
    return [each.images for each in Sampler(len(files), recipe, seed, shares, shards).epoch(epoch)[start:]]


def load_batches(files, chosen, *, workers=0, fill_broken=True):
    return StreamLoader(files, 16, workers).load(chosen, fill_broken=fill_broken)


def numbers(batches):
    """Which images are in each batch, and that each has its own label."""
    found = []
    for pixels, labels in batches:
        assert pixels.dtype == torch.uint8
        assert pixels.shape[1:] == (3, 16, 16)
        mine = (pixels[:, 0, 8, 8] // 5).tolist()
        assert labels.tolist() == [i % 3 for i in mine]
        found.append(mine)
    return found


def images(batches):
    return sorted(image for batch in batches for image in batch)


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (2, 1), (24, 3)])
def test_few_steps_have_a_short_warm_up_and_a_single_one_has_none(epochs, warmup):
    recipe, notes = shorten_warmup(Recipe(batch=8, epochs=epochs, warmup_steps=900), 8)
    assert recipe.warmup_steps == warmup
    assert f"{warmup} of {epochs} steps" in notes[0]
    assert Sampler(8, recipe).steps == epochs


@pytest.mark.parametrize(("images", "batch"), [(9, 8), (3, 2), (54, 32), (216, 32), (2400, 32)])
def test_few_steps_are_said_with_settings_that_make_them_enough(images, batch):
    few = Recipe(batch=batch, epochs=3)
    [note] = few_steps_note(few, images)
    settings = dict(re.findall(r"--set (\w+)=(\d+)", note))
    more = replace(few, **{name: int(value) for name, value in settings.items()})
    assert str(Sampler(images, few).steps) in note
    assert ENOUGH_STEPS <= Sampler(images, more).steps < 1.2 * ENOUGH_STEPS
    assert not few_steps_note(more, images)


def test_every_image_comes_once_an_epoch_in_another_order_each(either):
    found = find_encoded(either)
    train, test = found.train, found.test
    first, second = (numbers(load_batches(train, sample_epoch(train, 6, epoch))) for epoch in (0, 1))
    assert images(first) == images(second) == list(range(24))
    assert first != second
    assert first != numbers(load_batches(train, sample_epoch(train, 6, seed=1)))
    assert images(numbers(load_batches(test, [np.arange(4), np.arange(4, 6)]))) == list(range(24, 30))


def test_workers_change_nothing(either):
    train = find_encoded(either).train
    alone, helped = (list(load_batches(train, sample_epoch(train, 6, 3), workers=workers)) for workers in (0, 2))
    assert len(alone) == len(helped) == 4
    assert all(
        torch.equal(a, b) for one, other in zip(alone, helped, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_an_epoch_can_start_in_its_middle(either):
    train = find_encoded(either).train
    whole = numbers(load_batches(train, sample_epoch(train, 5, 2)))
    assert len(whole) == 4
    assert numbers(load_batches(train, sample_epoch(train, 5, 2, start=3), workers=1)) == whole[3:]
    assert numbers(load_batches(train, [], workers=1)) == []


def test_folders_and_shards_of_the_same_images_have_the_same_classes_in_number(folder):
    assert find_encoded(folder).train.classes == CLASSES


def test_classes_of_shards_are_numbers_named_in_a_file_or_words(shards, tmp_path):
    assert find_encoded(shards).train.classes == ("0", "1", "2")
    (shards / "classes.txt").write_text("ant\nbee\ncat\n")
    assert find_encoded(shards).train.classes == CLASSES
    (shards / "classes.txt").write_text("ant\nbee\n")
    with pytest.raises(DataError, match=r"classes\.txt"):
        find_encoded(shards)
    shard(tmp_path / "words" / "train" / "0.tar", range(6), label=lambda i: CLASSES[i % 3])
    shard(tmp_path / "words" / "test" / "0.tar", range(6, 9), label=lambda i: CLASSES[i % 3])
    train = find_encoded(tmp_path / "words").train
    assert train.classes == CLASSES
    assert images(numbers(load_batches(train, sample_epoch(train, 3)))) == list(range(6))


def test_images_of_shards_are_mixed_among_few_shards_at_a_time(tmp_path):
    for k in range(20):
        shard(tmp_path / f"train-{k:02}.tar", [k] * 1 + [k + 20])
    shard(tmp_path / "val-0.tar", range(3))
    train = find_encoded(tmp_path).train
    drawn = np.concatenate(sample_epoch(train, 2))
    turns = train.spans[drawn, 0].reshape(-1, 2)
    assert sorted(drawn.tolist()) == list(range(40))
    assert len({*turns[:8].ravel()}) == 8
    assert any(one != other for one, other in turns)


def test_the_shorter_side_is_resized_and_the_middle_kept(tmp_path):
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = 255
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.fromarray(wide).save(tmp_path / part / name / "x.png")
    pixels, _ = next(StreamLoader(find_encoded(tmp_path).train, 20).load([np.arange(2)], fill_broken=True))
    assert (pixels[..., 1:-1] == 255).all()  # the outermost see a little of what is beside them


def test_large_jpegs_that_are_streamed_are_those_that_are_decoded_once(tmp_path):
    for i in range(8):
        file = tmp_path / "set" / ("train" if i < 6 else "test") / "ab"[i % 2] / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        grain = np.random.default_rng(i).integers(0, 256, (300, 450, 3), dtype=np.uint8)
        Image.fromarray(grain).save(file, quality=90)
    every = [np.arange(6)]
    [(streamed, _)] = StreamLoader(find_encoded(tmp_path / "set").train, 64).load(every, fill_broken=True)
    [(decoded, _)] = DecodedLoader(load("folder", path=tmp_path / "set", size=64).train).load(every, fill_broken=True)
    assert torch.equal(streamed, decoded)


CROPS = Recipe(crop_area=0.1, interpolation="bicubic")


def crop_batches(part, keys, *, size=24, workers=0):
    """A batch of all images of a part for each key, cut by it."""
    every = np.arange(len(part))
    plans = [CropPlan(size, CROPS, key) for key in keys]
    return StreamLoader(part, 16, workers).load([every] * len(keys), fill_broken=True, crop_plans=plans)


def grain(seed, height=60, width=90):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def in_classes(folder, files):
    """Encoded images as a set: half of them of each of two classes, the first two to test on."""
    for i, (name, content) in enumerate(files.items()):
        file = folder / ("test" if i < 2 else "train") / "ab"[i % 2] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return find_encoded(folder).train


def test_crops_of_a_stream_are_cut_from_the_whole_image_as_pillow_cuts_them(tmp_path):
    images = {f"{i}.png": encode(grain(i)) for i in range(8)}
    part = in_classes(tmp_path, images)
    [(pixels, _)] = crop_batches(part, [(3, 5, 0)])
    for place in range(len(part)):
        image = Image.open(part.open(place))
        (left, top, wide, high), mirrored = CropPlan(24, CROPS, (3, 5, 0)).draw(place, image.height, image.width)
        crop = image.resize((24, 24), Image.Resampling.BICUBIC, box=(left, top, left + wide, top + high))
        crop = ImageOps.mirror(crop) if mirrored else crop
        assert np.array_equal(pixels[place].permute(1, 2, 0), crop)


def test_crops_of_a_stream_reach_every_corner_and_differ_by_key_and_place(tmp_path):
    part = in_classes(tmp_path, {f"{i}.png": encode(grain(0)) for i in range(8)})
    keys = [(0, step, 0) for step in range(40)]
    boxes = np.array([CropPlan(24, CROPS, key).draw(place, 60, 90)[0] for key in keys for place in range(6)])
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert boxes[:, 0].min() < 5
    assert (boxes[:, 0] + boxes[:, 2]).max() > 85
    first, second = (pixels for pixels, _ in crop_batches(part, keys[:2]))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_workers_change_nothing_in_crops(either):
    train = find_encoded(either).train
    keys = [(0, step, 0) for step in range(4)]
    alone, helped = ([pixels for pixels, _ in crop_batches(train, keys, workers=workers)] for workers in (0, 2))
    assert all(torch.equal(one, other) for one, other in zip(alone, helped, strict=True))


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_photograph_on_its_side_is_cut_as_the_upright_one_is(tmp_path, kind):
    upright, turned = {}, {}
    for i in range(8):
        image, exif = grain(i), Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise
        upright[f"{i}.{kind}"] = encode(image, kind)
        turned[f"{i}.{kind}"] = encode(image.transpose(Image.Transpose.ROTATE_90), kind, exif=exif)
    parts = in_classes(tmp_path / "upright", upright), in_classes(tmp_path / "turned", turned)
    (first, _), (second, _) = (next(crop_batches(part, [(0, 1, 0)])) for part in parts)
    assert torch.equal(first, second)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_are_seen_by_their_upper_eight(kind):
    deep = Image.fromarray((np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64))
    pixels, fault = decode_image(io.BytesIO(encode(deep, kind)), 64)
    assert fault == ""
    assert np.array_equal(pixels[..., 0], np.asarray(deep) >> 8)


def test_large_jpegs_are_cut_from_a_smaller_decoding_where_that_is_enough(tmp_path):
    smooth = [grain(i, 9, 12).resize((1200, 900), Image.Resampling.BICUBIC) for i in range(4)]
    part = in_classes(tmp_path / "jpeg", {f"{i}.jpg": encode(each, "JPEG") for i, each in enumerate(smooth)})
    exact = in_classes(tmp_path / "png", {f"{i}.png": encode(each) for i, each in enumerate(smooth)})
    (small, _), (whole, _) = (next(crop_batches(each, [(0, 1, 0)], size=96)) for each in (part, exact))
    assert (small.float() - whole.float()).abs().mean() < 2


def test_evaluation_uses_the_centre_of_an_image():
    pixels = np.full((4, 36, 36, 3), 255, np.uint8)
    pixels[:, 2:34, 2:34] = 0
    source = DecodedLoader(Images(pixels, np.zeros(4, np.int64), ("black", "white")))

    class Brightness(torch.nn.Module):
        def forward(self, x):
            white = x.amax((1, 2, 3))
            return torch.stack([0.5 - white, white - 0.5], 1)

    for side, top1 in ((1.125, 1.0), (1.0, 0.0)):
        images = LoaderSet.of(load_task("classification"), source, source, Recipe(judged_side=side))
        evaluation = images.evaluate(Brightness())
        assert (evaluation.scores["top1"], evaluation.images) == (top1, 4)


@pytest.mark.parametrize("streamed", [False, True])
def test_images_without_a_test_part_are_split_as_the_settings_say(tmp_path, streamed):
    for i in range(30):
        file = tmp_path / "set" / CLASSES[i % 3] / f"{i:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        numbered_image(i).save(file)
    settings = DataSettings("folder", str(tmp_path / "set"), size=16, test_fraction=0.4, seed=3)
    job = TrainingJob(published("mobilevitv3_xxs"), Recipe(image_size=16), settings, tmp_path, streamed=streamed)
    test, split = job.load_data().test, load("folder", path=tmp_path / "set", size=16, test_fraction=0.4, seed=3)
    assert numbers(test.load([np.arange(12)], fill_broken=False)) == numbers(
        DecodedLoader(split.test).load([np.arange(12)], fill_broken=False)
    )


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("given", "decoded"), [(16, 32), (48, 48), (None, 32)])
def test_images_are_decoded_at_the_size_of_the_recipe_or_more(folder, tmp_path, streamed, given, decoded):
    settings = DataSettings("folder", str(folder), size=given)
    job = TrainingJob(published("mobilevitv3_xxs"), Recipe(image_size=32), settings, tmp_path, streamed=streamed)
    [(pixels, _)] = job.load_data().test.load([np.arange(6)], fill_broken=False)
    assert pixels.shape == (6, 3, decoded, decoded)


def test_images_of_one_size_are_not_decoded_at_another():
    assert decoded_size(DataSettings("cifar10", "archive"), 64) is None


def test_decoded_batches_come_in_their_order_each_once():
    pixels = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1).repeat(3, axis=3)
    source = DecodedLoader(Images(pixels, np.arange(10), ("one",)))
    batches = [np.array([3, 1]), np.array([9]), np.array([0, 2, 4])]
    assert [labels.tolist() for _, labels in source.load(batches, fill_broken=True)] == [[3, 1], [9], [0, 2, 4]]
    assert list(source.load([], fill_broken=True)) == []


def test_broken_images_are_named_and_another_takes_their_place(folder):
    (folder / "train" / "bee" / "04.png").write_bytes(b"no image")
    whole = encode(numbered_image(1))
    (folder / "train" / "bee" / "01.png").write_bytes(whole[: len(whole) // 2])
    for workers in (0, 1):
        stream = StreamLoader(find_encoded(folder).train, 16, workers)
        [batch] = numbers(stream.load([np.arange(24)], fill_broken=True))
        assert len(batch) == 24
        assert {*batch} == {*range(24)} - {1, 4}
        assert sorted(stream.broken) == ["train/bee/01.png", "train/bee/04.png"]
        assert "UnidentifiedImageError" in stream.broken["train/bee/04.png"]


def test_broken_images_are_not_judged(folder):
    (folder / "test" / "bee" / "25.png").write_bytes(b"no image")
    stream = StreamLoader(find_encoded(folder).test, 16)
    assert images(numbers(stream.load([np.arange(6)], fill_broken=False))) == [24, 26, 27, 28, 29]
    assert list(stream.broken) == ["test/bee/25.png"]


def test_a_broken_image_alone_in_a_batch_is_not_judged_and_ends_nothing(folder):
    (folder / "test" / "cat" / "29.png").write_bytes(b"no image")
    stream = StreamLoader(find_encoded(folder).test, 16)
    assert images(numbers(stream.load([np.arange(5), np.array([5])], fill_broken=False))) == [24, 25, 26, 27, 28]
    with pytest.raises(DataError, match="29"):
        list(stream.load([np.array([5])], fill_broken=False))


def test_torchs_global_generator_is_unchanged(folder):
    before = torch.get_rng_state()
    for workers in (0, 1):
        list(load_batches(find_encoded(folder).train, [np.arange(12)], workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_broken_image_in_a_shard_is_named_with_its_shard(shards):
    write_shard(shards / "train-0.tar", {"00.jpg": b"nothing", "00.cls": b"0"})
    stream = StreamLoader(find_encoded(shards).train, 16)
    assert len(next(stream.load([np.arange(19)], fill_broken=True))[1]) == 19
    assert list(stream.broken) == ["train-0.tar: 00.jpg"]


def test_a_batch_of_nothing_but_broken_images_ends_the_training(folder):
    for file in (folder / "train").rglob("*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(DataError, match="6 images"):
        next(load_batches(find_encoded(folder).train, [np.arange(6)]))


@pytest.mark.parametrize(
    ("members", "words"),
    [({"00.png": encode(numbered_image(0))}, r"00\.cls"), ({"00.cls": b"1"}, "no images")],
)
def test_shards_that_are_not_whole_are_refused(tmp_path, members, words):
    write_shard(tmp_path / "train-0.tar", members)
    shard(tmp_path / "val-0.tar", range(3))
    with pytest.raises(DataError, match=words):
        find_encoded(tmp_path)


def test_a_shard_that_was_cut_off_is_named(shards):
    file = shards / "train-2.tar"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"train-2\.tar"):
        find_encoded(shards)


def test_shards_without_a_part_to_test_on_are_refused(tmp_path):
    shard(tmp_path / "train-0.tar", range(3))
    with pytest.raises(DataError, match=r"add test\*\.tar"):
        find_encoded(tmp_path)


def test_two_processes_train_on_the_two_parts_that_one_process_takes():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    source = DecodedLoader(Images(pixels, np.arange(24) % 3, CLASSES))
    recipe, task = Recipe(batch=8, epochs=2, crop_area=0.5, erase=0.5), load_task("classification")

    def first_batches(group, parts):
        images = LoaderSet.of(task, source, source, recipe, group, parts=parts, seed=3)
        return list(images.batches(Position(step=4, epoch=1, batch=1)))

    one = first_batches(ProcessGroup(), 2)
    two = [first_batches(ProcessGroup(rank=rank, count=2), 1) for rank in (0, 1)]

    assert len(one) == len(two[0]) == len(two[1]) == 2
    for parts, *own in zip(one, *two, strict=True):
        for part, [batch] in zip(parts, own, strict=True):
            assert all(torch.equal(tensor, same) for tensor, same in zip(part, batch, strict=True))
