# SPDX-License-Identifier: GPL-3.0-or-later
"""The rig's verdict: what counts as a failure, silence included."""

from pathlib import Path

import pytest
from rig import results

PASSED = '<testsuites><testsuite><testcase name="a"/></testsuite></testsuites>'
MIXED = """<?xml version="1.0"?><testsuites><testsuite>
<testcase name="a"/><testcase name="b"/>
<testcase name="c"><failure message="no"/></testcase>
<testcase name="d"><error message="fixture"/></testcase>
<testcase name="e"><skipped message="no camera"/></testcase>
</testsuite></testsuites>"""
SKIPPED = '<testsuites><testsuite><testcase name="a"><skipped/></testcase></testsuite></testsuites>'
COMPLIANCE = """Required ioctls:
\ttest VIDIOC_QUERYCAP: OK
Test input 0:
\ttest VIDIOC_G/S_CTRL: OK
\ttest Cropping: FAIL
Test input 1:
\ttest VIDIOC_G/S_CTRL: OK (Not Supported)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A results folder in which everything is well."""
    (tmp_path / "compliance").mkdir()
    (tmp_path / "junit.xml").write_text(PASSED)
    (tmp_path / "dmesg.txt").write_text("[    1.0] vivid-000: using single planar format API\n")
    for moment in ("before", "after"):
        (tmp_path / "compliance" / f"vivid-000.{moment}.txt").write_text(COMPLIANCE)
    return tmp_path


def test_counts_of_a_mixed_run() -> None:
    counted = results.count(MIXED)
    assert counted == results.Counts(passed=2, failed=2, skipped=1)
    assert counted.line == "2 passed, 2 failed, 1 skipped"


def test_everything_well(folder: Path) -> None:
    verdict = results.judge(folder, 0)
    assert verdict.passed
    assert verdict.counts == results.Counts(1, 0, 0)


@pytest.mark.parametrize(
    ("junit", "status", "reason"),
    [
        (MIXED, 1, "2 failed"),
        (SKIPPED, 0, "no test ran"),
        ("<testsuites/>", 5, "no test ran"),
        ("<testsuites><testcase", 0, "the JUnit file cannot be read"),
        (None, 0, "no JUnit file came back"),
        (PASSED, 3, "exit status in the guest is 3"),
    ],
)
def test_a_junit_file_that_fails_the_run(folder: Path, junit: str | None, status: int, reason: str) -> None:
    (folder / "junit.xml").unlink()
    if junit is not None:
        (folder / "junit.xml").write_text(junit)
    verdict = results.judge(folder, status)
    assert not verdict.passed
    assert len(verdict.reasons) == 1
    assert reason in verdict.reasons[0]


def test_a_changed_compliance_result_fails_the_run(folder: Path) -> None:
    worse = COMPLIANCE.replace("VIDIOC_QUERYCAP: OK", "VIDIOC_QUERYCAP: FAIL")
    (folder / "compliance" / "vivid-000.after.txt").write_text(worse)
    changed = "vivid-000: v4l2-compliance changed: VIDIOC_QUERYCAP #1: OK -> FAIL"
    assert results.judge(folder, 0).reasons == (changed,)


@pytest.mark.parametrize("content", [None, "", "v4l2-compliance: Cannot open device\n"])
def test_a_compliance_report_that_is_missing_or_empty(folder: Path, content: str | None) -> None:
    before = folder / "compliance" / "vivid-000.before.txt"
    before.unlink()
    if content is not None:
        before.write_text(content)
    assert not results.judge(folder, 0).passed


def test_a_camera_that_is_gone_afterwards(folder: Path) -> None:
    (folder / "compliance" / "vivid-000.after.txt").unlink()
    assert results.judge(folder, 0).reasons == ("vivid-000: v4l2-compliance is incomplete",)


def test_repeated_names_are_told_apart_and_details_left_out() -> None:
    assert results.compliance_results(COMPLIANCE) == {
        "VIDIOC_QUERYCAP #1": "OK",
        "VIDIOC_G/S_CTRL #1": "OK",
        "Cropping #1": "FAIL",
        "VIDIOC_G/S_CTRL #2": "OK",
    }


def test_a_test_that_no_longer_runs_is_a_change() -> None:
    shorter = COMPLIANCE.replace("\ttest Cropping: FAIL\n", "")
    assert results.compliance_changes(COMPLIANCE, shorter) == ["Cropping #1: FAIL -> not run"]


@pytest.mark.parametrize("line", ["BUG: kernel NULL pointer dereference", "Oops: 0002 [#1]", "KASAN: use-after-free"])
def test_a_broken_kernel_fails_the_run(folder: Path, line: str) -> None:
    (folder / "dmesg.txt").write_text(f"[   20.1] {line}\n")
    assert results.judge(folder, 0).reasons == (f"kernel: [   20.1] {line}",)


def test_a_missing_kernel_log_fails_the_run(folder: Path) -> None:
    (folder / "dmesg.txt").unlink()
    assert results.judge(folder, 0).reasons == ("no kernel log came back",)
