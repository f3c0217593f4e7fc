"""The rules of `mvsearch init`, in closed form, and the text of the file."""

import pytest

from mvsearch.data import DataSettings
from mvsearch.errors import PlanError
from mvsearch.study import first_settings as rules
from mvsearch.study.first_settings import Effort, choose_schedule
from mvsearch.study.first_space import FirstSpace, Photographs, read_budget


@pytest.mark.parametrize(
    ("side", "size"), [(20, 32), (32, 32), (63, 32), (64, 64), (100, 96), (224, 224), (225, 224), (4000, 224)]
)
def test_networks_have_the_size_of_the_images_in_whole_maps(side, size):
    assert rules.choose_image_size(side).value == size


@pytest.mark.parametrize(
    ("size", "opened"), [(32, 2), (33, 1), (64, 1), (65, 0), (224, 0)]
)  # attention needs a map of more than 2x2 pixels, 32 times smaller than the image, or 16 or 8 times
def test_strides_are_open_where_the_last_map_would_be_one_patch(size, opened):
    assert rules.open_strides(size) == ("stem", "layer2")[:opened]


@pytest.mark.parametrize(
    ("size", "side", "images", "proxy"),
    [
        (224, 500, 960, 96),
        (160, 500, 960, 80),
        (96, 96, 435, 64),
        (64, 64, 50_000, 64),
        (224, 64, 960, 64),
        (224, 50, 960, 48),
        (32, 20, 960, 32),
        (224, 500, 38_836, 96),  # 3 * 96² * 38,836 bytes are a gigabyte
        (224, 500, 38_837, 80),
        (224, 500, 1_280_000, 32),
    ],
)
def test_scores_are_computed_at_a_size_that_shows_detail_and_fits_into_memory(size, side, images, proxy):
    assert rules.choose_proxy_size(size, side, images).value == proxy


def test_small_sets_have_small_batches_and_ten_passes():
    assert [rules.choose_batch(images).value for images in (1279, 1280)] == [32, 64]
    assert [rules.wanted_steps(images, 32).value for images in (100, 692, 1279)] == [100, 210, 390]
    assert rules.wanted_steps(1_000_000, 64).value == 600
    assert [rules.crop_padding(size) for size in (8, 32, 96)] == [1, 1, 3]


@pytest.mark.parametrize(
    ("step_s", "trials", "seeds", "steps"),
    [
        (0.1, 40, 2, 240),  # 40 trials * 2 seeds * 240 steps are 1,920 s of the 3,600 s of two workers
        (0.3, 40, 1, 240),
        (0.5, 24, 1, 240),
        (1.0, 24, 1, 150),
        (2.0, 16, 1, 110),
        (9.0, 16, 1, 100),
    ],
)
def test_a_search_fits_into_its_time_by_fewer_seeds_then_trials_then_steps(step_s, trials, seeds, steps):
    found = choose_schedule(240, Effort(step_s), workers=2, minutes=30)

    assert (found.trials, found.seeds, found.steps) == (trials, seeds, steps)
    assert found.seconds == pytest.approx(trials * seeds * steps * step_s / 2)
    assert found.seconds <= 1800 or steps == rules.LEAST_STEPS


def test_what_a_trial_needs_besides_its_steps_counts():
    assert Effort(0.5, 2, 10).seconds(100, 2) == 10 + 2 * (2 + 50)
    assert choose_schedule(100, Effort(0.1, 5, 30), workers=1, minutes=30).trials == 40
    slow = choose_schedule(100, Effort(0.1, 80), workers=1, minutes=30)
    assert (slow.trials, slow.steps) == (16, 100)  # never more steps than are wanted


@pytest.mark.parametrize("text", ["params", "params=many", "params>=1M", "top1=0.9", "latency_ms=10k", "speed=3"])
def test_a_budget_that_cannot_be_read_is_refused(text):
    with pytest.raises(PlanError) as raised:
        read_budget(text)
    assert raised.value.file == f"--budget {text}"


def first_space(size: int, *, path: str = "pets", budgets: tuple[str, ...] = ()) -> FirstSpace:
    images = Photographs(DataSettings("folder", path), 900, 12, 500.0)
    return FirstSpace("my", images, rules.Chosen(size, "given"), tuple(map(read_budget, budgets)))


@pytest.mark.parametrize("size", [32, 50, 301])
def test_small_and_odd_sizes_keep_the_published_models(size):
    first = first_space(size)
    opened = {choice.name for choice in first.space.choices if choice.name.endswith(".stride")}

    assert first.space.image_size == size
    assert opened == {f"{name}.stride" for name in rules.open_strides(size)}
    assert "mobilevitv3_xxs" in first.within_reach


def test_a_budget_of_latency_is_a_limit_with_a_backend_and_threads():
    plan = first_space(224, budgets=("latency_ms=6",)).plan()

    assert plan.search.objectives == ("loss", "latency_ms")
    assert plan.search.limits == ("latency_ms <= 6",)
    assert (plan.measurements["latency"].threads, plan.measurements["latency"].backend) == (1, "torch_cpu")


@pytest.mark.parametrize("count", [900, 1_000_000])
def test_candidates_are_compared_by_their_loss_however_many_images_there_are(count):
    images = Photographs(DataSettings("folder", "pets"), count, 12, 500.0)
    plan = FirstSpace("my", images, rules.Chosen(64, "given"), (read_budget("params=1M"),)).plan()

    assert plan.search.objectives == ("loss", "params", "macs")


@pytest.mark.parametrize("path", ['my "pets": #1', "0123", "true", "a\nb", "häuser"])
def test_a_path_is_written_as_it_is(path):
    assert first_space(64, path=path, budgets=("params=1M",)).plan().data.path == path
