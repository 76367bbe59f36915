# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a run left behind and judges it. Pure: files in, a verdict out."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

#: A line of v4l2-compliance that is a result: "\ttest VIDIOC_QUERYCAP: OK (Not Supported)".
COMPLIANCE_TEST = re.compile(r"^\s*test (?P<name>.+): (?P<result>OK|FAIL)\b")
#: What a kernel says when it is broken. Warnings are not among them: stock drivers emit some.
KERNEL_FAULT = re.compile(r"(BUG: |Oops: |Kernel panic|KASAN: |general protection fault|refcount_t: )")


@dataclass(frozen=True)
class Counts:
    """How the tests of one JUnit file ended."""

    passed: int
    failed: int
    skipped: int

    @property
    def line(self) -> str:
        """The closing line of a run."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass(frozen=True)
class Verdict:
    """What a run of the tests amounts to.

    Attributes:
        counts: None if there is no readable JUnit file.
        reasons: why the run failed; empty if it passed.
    """

    counts: Counts | None
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the run."""
        return not self.reasons


def count(junit: str) -> Counts:
    """Counts the test cases of a JUnit document; an error counts as a failure.

    Raises:
        xml.etree.ElementTree.ParseError: it is not XML, for one because the writer was interrupted.
    """
    passed = failed = skipped = 0
    for case in ElementTree.fromstring(junit).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return Counts(passed, failed, skipped)


def compliance_results(report: str) -> dict[str, str]:
    """Results of one v4l2-compliance report: test, numbered where a name repeats, to ``OK`` or ``FAIL``."""
    results: dict[str, str] = {}
    seen: dict[str, int] = {}
    for line in report.splitlines():
        match = COMPLIANCE_TEST.match(line)
        if match:
            name = match["name"]
            seen[name] = seen.get(name, 0) + 1
            results[f"{name} #{seen[name]}"] = match["result"]
    return results


def compliance_changes(before: str, after: str) -> list[str]:
    """One line for every test whose result differs between two reports."""
    old, new = compliance_results(before), compliance_results(after)
    names = [*old, *(name for name in new if name not in old)]
    changed = (name for name in names if old.get(name) != new.get(name))
    return [f"{name}: {old.get(name, 'not run')} -> {new.get(name, 'not run')}" for name in changed]


def kernel_faults(dmesg: str) -> list[str]:
    """Lines of the kernel's log that say that it is broken."""
    return [line for line in dmesg.splitlines() if KERNEL_FAULT.search(line)]


def judge(folder: Path, exit_status: int) -> Verdict:
    """Judges a results folder: silence is a failure.

    Args:
        folder: with junit.xml, dmesg.txt and compliance/NODE.before.txt, NODE.after.txt.
        exit_status: what the guest's test script returned.
    """
    counts, reasons = _judge_junit(folder / "junit.xml")
    if exit_status != 0 and not reasons:
        reasons.append(f"the tests' exit status in the guest is {exit_status}")
    reasons += _judge_compliance(folder / "compliance")
    dmesg = folder / "dmesg.txt"
    if dmesg.exists():
        reasons += [f"kernel: {line}" for line in kernel_faults(dmesg.read_text(errors="replace"))]
    else:
        reasons.append("no kernel log came back")
    return Verdict(counts, tuple(reasons))


def _judge_junit(path: Path) -> tuple[Counts | None, list[str]]:
    try:
        counts = count(path.read_text())
    except FileNotFoundError:
        return None, ["no JUnit file came back"]
    except ElementTree.ParseError as error:
        return None, [f"the JUnit file cannot be read: {error}"]
    if counts.passed + counts.failed == 0:
        return counts, ["no test ran"]
    return counts, [f"{counts.failed} failed"] if counts.failed else []


def _judge_compliance(folder: Path) -> list[str]:
    reports = sorted(folder.glob("*.before.txt"))
    if not reports:
        return ["v4l2-compliance left no report"]
    reasons = []
    for before in reports:
        node = before.name.removesuffix(".before.txt")
        after = before.with_name(f"{node}.after.txt")
        if not after.exists() or not compliance_results(before.read_text()):
            reasons.append(f"{node}: v4l2-compliance is incomplete")
            continue
        changes = compliance_changes(before.read_text(), after.read_text())
        reasons += [f"{node}: v4l2-compliance changed: {change}" for change in changes]
    return reasons
