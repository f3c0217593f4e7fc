"""`mvsearch doctor` vouches only for what it has tried."""

from importlib.util import find_spec

import pytest

from mvsearch.cli import doctor
from mvsearch.utils.installation import install_hint, requirements
from mvsearch.utils.machine import installed_version


def finding_of(extra: str) -> doctor.Finding:
    return next(finding for finding in doctor._extras() if finding.subject == f"[{extra}]")


@pytest.fixture
def failures(monkeypatch) -> dict[str, str]:
    reasons: dict[str, str] = {}
    monkeypatch.setattr(doctor, "_import_failures", lambda: reasons)
    return reasons


def test_an_extra_that_cannot_be_imported_is_unusable(failures):
    failures["timm"] = "1.0 cannot be imported (RuntimeError: operator torchvision::nms does not exist)"
    found = finding_of("timm")
    assert found.state == "unusable"
    assert "operator torchvision::nms" in found.text


def test_an_extra_in_a_version_that_is_too_old_is_unusable(failures, monkeypatch):
    monkeypatch.setattr(doctor, "installed_version", lambda _name: "0.1")
    found = finding_of("timm")
    assert found.state == "unusable"
    assert "timm 0.1 is installed, >=" in found.text


def test_an_extra_that_is_not_installed_is_missing_with_what_installs_it(failures, monkeypatch):
    monkeypatch.setattr(doctor, "installed_version", lambda _name: None)
    found = finding_of("onnx")
    assert found.state == "missing"
    assert install_hint("onnx") in found.text


def test_a_package_of_the_main_search_that_cannot_be_imported_is_broken_and_one_of_an_extra_is_not(failures):
    failures |= {"torch": "2.13.0 cannot be imported (OSError: no libc)", "thop": "0.1 cannot be imported (X)"}
    states = {finding.subject: finding.state for finding in doctor._packages()}
    assert states["torch"] == "broken"
    assert states["thop"] == "ok"
    assert finding_of("counters").state == "unusable"


def test_every_package_is_tried_by_a_module_that_it_has():
    declared = requirements()
    names = {r.name for extra in doctor._extra_names() for r in declared.extras[extra]} | {
        r.name for r in declared.base
    }
    modules = {name: doctor.module_of(name) for name in names if installed_version(name)}
    assert {"scikit-image", "pillow", "ruamel.yaml"} <= {*modules}
    assert [name for name, module in modules.items() if find_spec(module) is None] == []
