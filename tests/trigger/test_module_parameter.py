import os

import pytest
from trigger.sysfs import make_parameter

from agent.trigger.mode_errors import (
    ModuleNotLoaded,
    ModuleParameterError,
    ModuleParameterFixed,
    ModuleParameterMissing,
    ModuleParameterPermission,
    TriggerModeNotProven,
)
from agent.trigger.module_parameter import ModuleParameter, loaded


def test_a_number_is_read_written_and_read_back(tmp_path):
    path = make_parameter(tmp_path, "imx296", "trigger_mode", 0)
    parameter = ModuleParameter("imx296", "trigger_mode", modules=tmp_path)
    assert parameter.read() == 0
    parameter.write(1)
    assert parameter.read() == 1
    assert path.read_text().strip() == "1"


def test_a_switch_is_a_number_too(tmp_path):
    make_parameter(tmp_path, "driver", "sync", "Y")
    make_parameter(tmp_path, "driver", "off", "N")
    assert ModuleParameter("driver", "sync", modules=tmp_path).read() == 1
    assert ModuleParameter("driver", "off", modules=tmp_path).read() == 0


def test_a_module_is_found_under_its_name_with_underscores(tmp_path):
    make_parameter(tmp_path, "tier4_isx021", "trigger_mode", 3)
    assert ModuleParameter("tier4-isx021", "trigger_mode", modules=tmp_path).read() == 3
    assert loaded(["tier4-isx021", "imx296"], tmp_path) == ("tier4-isx021",)


def test_a_module_that_is_not_loaded(tmp_path):
    with pytest.raises(ModuleNotLoaded, match="imx296 is not loaded") as caught:
        ModuleParameter("imx296", "trigger_mode", modules=tmp_path).read()
    assert "modprobe imx296" in caught.value.hint


def test_a_kernel_whose_driver_has_no_such_parameter(tmp_path):
    (tmp_path / "imx296").mkdir()
    with pytest.raises(ModuleParameterMissing) as caught:
        ModuleParameter("imx296", "trigger_mode", modules=tmp_path).write(1)
    assert "modinfo -p imx296" in caught.value.hint


def test_a_parameter_that_is_fixed_says_what_to_write_where(tmp_path):
    make_parameter(tmp_path, "tier4_isx021", "trigger_mode", 0, 0o444)
    parameter = ModuleParameter("tier4-isx021", "trigger_mode", modules=tmp_path)
    with pytest.raises(ModuleParameterFixed) as caught:
        parameter.write(1)
    assert "options tier4_isx021 trigger_mode=1" in caught.value.hint
    assert "/etc/modprobe.d/tier4_isx021-trigger.conf" in caught.value.hint
    assert caught.value.details["value"] == 1
    parameter.write(0)  # it is that already


class Forbidden(ModuleParameter):
    """As for a user who is not root: the file may be read only, whatever its mode says."""

    def __init__(self, path, errno):
        super().__init__("imx296", "trigger_mode", modules=path)
        self._errno = errno

    def _set(self, value):
        raise OSError(self._errno, os.strerror(self._errno))


@pytest.mark.parametrize(
    ("errno", "kind"), [(13, ModuleParameterPermission), (30, ModuleParameterPermission), (22, ModuleParameterError)]
)
def test_a_write_that_is_refused(tmp_path, errno, kind):
    make_parameter(tmp_path, "imx296", "trigger_mode", 0)
    with pytest.raises(kind) as caught:
        Forbidden(tmp_path, errno).write(1)
    assert type(caught.value) is kind
    assert ("options imx296 trigger_mode=1" in caught.value.hint) == (kind is ModuleParameterPermission)


class Deaf(ModuleParameter):
    """Takes what is written, and keeps what it had."""

    def _set(self, value):
        pass


def test_a_write_that_has_no_effect_is_not_proven(tmp_path):
    make_parameter(tmp_path, "imx296", "trigger_mode", 0)
    with pytest.raises(TriggerModeNotProven, match="took 1, and reads back as 0") as caught:
        Deaf("imx296", "trigger_mode", modules=tmp_path).write(1)
    assert caught.value.details["mismatches"] == {"imx296.trigger_mode": {"asked": 1, "read": 0}}


def test_a_parameter_that_is_no_number(tmp_path):
    make_parameter(tmp_path, "imx296", "trigger_mode", "fast,slow")
    with pytest.raises(ModuleParameterError, match="is no number"):
        ModuleParameter("imx296", "trigger_mode", modules=tmp_path).read()
