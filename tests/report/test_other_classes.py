"""Figures for ImageNet-1k are not for a study of other classes, and say so."""

import pytest

from mvsearch.arch.published import published
from mvsearch.metrics.record import Record
from mvsearch.report.estimates import estimate_top1, other_classes
from mvsearch.report.proxy_reliability import ProxyReliability

NAMES = ("mobilevitv3_xxs", "mobilevitv3_xs", "mobilevitv3_s", "mobilevitv2_0.5", "mobilevitv1_s")
RELIABILITY = ProxyReliability("top1", tuple((name, 0.1 * i, 70.0 + i, 10**6) for i, name in enumerate(NAMES)))


def record(classes: int) -> Record:
    arch = published("mobilevitv3_xxs").at(num_classes=classes)
    return Record(0, arch.key, "complete", None, {"top1": 0.2}, {}, arch.to_dict(), None, 0.0)


@pytest.mark.parametrize(("classes", "said"), [(1000, False), (12, True)])
def test_an_estimate_for_imagenet_names_the_classes_that_it_is_not_for(classes, said):
    records = [record(classes)]

    assert ("12 classes" in other_classes(records)) == said
    assert estimate_top1(records, RELIABILITY).words.endswith(other_classes(records) or "scores.")
