"""Parameters of kernel modules: read, written and read back through sysfs.

Follows Documentation/admin-guide/kernel-parameters.rst and include/linux/moduleparam.h: a parameter's file has the
permissions its driver gave it; without a write bit it is fixed once the module is loaded.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from agent.trigger.mode_errors import (
    ModuleNotLoaded,
    ModuleParameterError,
    ModuleParameterFixed,
    ModuleParameterMissing,
    ModuleParameterPermission,
    TriggerModeNotProven,
)
from agent.trigger.modes import ModuleSetting

MODULES = Path("/sys/module")
_BOOLEANS = {"Y": 1, "N": 0}


class ModuleParameter:
    """One parameter that is a number or a switch. Stateless: every call looks afresh."""

    def __init__(self, module: str, parameter: str, *, modules: Path = MODULES) -> None:
        """`modules`: another folder than /sys/module, for tests."""
        # sysfs knows modules with underscores, whatever their files are called
        self.module, self.parameter = module.replace("-", "_"), parameter
        self._folder = modules / self.module
        self.path = self._folder / "parameters" / parameter

    def read(self) -> int:
        """Its value now; `Y` and `N` are 1 and 0. Raises ModuleNotLoaded, ModuleParameterMissing, -Error."""
        try:
            text = self.path.read_text().strip()
        except FileNotFoundError as error:
            raise self._absent() from error
        except OSError as error:
            raise self._failed(error, None) from error
        try:
            return _BOOLEANS[text] if text in _BOOLEANS else int(text)
        except ValueError as error:
            hint = "only parameters that are a number or a switch are known here"
            raise self._error(ModuleParameterError, f"{self.path} is no number: {text[:40]!r}", hint) from error

    def write(self, value: int) -> None:
        """Give it a value, proven by reading it back. Nothing is written where it has the value already.

        Raises what `read` raises, ModuleParameterFixed, ModuleParameterPermission, TriggerModeNotProven.
        """
        before = self.read()
        if before == value:
            return
        if not self.path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            problem = f"{self.parameter} of module {self.module} is {before}, and is fixed while the module is loaded"
            raise self._error(ModuleParameterFixed, problem, self.at_load(value), value)
        try:
            self._set(value)
        except OSError as error:
            raise self._failed(error, value) from error
        after = self.read()
        if after != value:
            raise TriggerModeNotProven(
                f"{self.path} took {value}, and reads back as {after}",
                hint=f"`modinfo -p {self.module}` says which values it takes",
                mismatches={f"{self.module}.{self.parameter}": {"asked": value, "read": after}},
            )

    def at_load(self, value: int) -> str:
        """What to write where so that the module has the value from its start."""
        return (
            f"write `options {self.module} {self.parameter}={value}` into /etc/modprobe.d/{self.module}-trigger.conf, "
            f"then restart the machine, or `modprobe -r {self.module}` and `modprobe {self.module}`"
        )

    def _set(self, value: int) -> None:
        # unbuffered: the kernel takes the value in one write, and answers to that
        with open(self.path, "wb", buffering=0) as file:
            file.write(str(value).encode())

    def _absent(self) -> ModuleParameterError:
        if self._folder.is_dir():
            problem = f"module {self.module} of this kernel has no parameter {self.parameter}"
            hint = f"`modinfo -p {self.module}` lists those it has; the maker's kernel may be needed"
            return self._error(ModuleParameterMissing, problem, hint)
        hint = f"is the sensor another one? else `modprobe {self.module}`, and look into journalctl -k"
        return self._error(ModuleNotLoaded, f"module {self.module} is not loaded", hint)

    def _failed(self, error: OSError, value: int | None) -> ModuleParameterError:
        reason = os.strerror(error.errno or 0)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = "run it as root" if value is None else f"run it as root, or {self.at_load(value)}"
            return self._error(ModuleParameterPermission, f"{self.path} cannot be changed: {reason}", hint, value)
        hint = f"look into journalctl -k; `modinfo -p {self.module}` says which values it takes"
        verb = "read" if value is None else f"set to {value}"
        return self._error(ModuleParameterError, f"{self.path} cannot be {verb}: {reason}", hint, value)

    def _error(
        self, kind: type[ModuleParameterError], problem: str, hint: str, value: int | None = None
    ) -> ModuleParameterError:
        return kind(problem, hint=hint, module=self.module, parameter=self.parameter, value=value, path=str(self.path))


def parameter_of(setting: ModuleSetting, modules: Path = MODULES) -> ModuleParameter:
    """The parameter a setting is about."""
    return ModuleParameter(setting.module, setting.parameter, modules=modules)


def loaded(names: Iterable[str], modules: Path = MODULES) -> tuple[str, ...]:
    """Those of the modules that are loaded."""
    return tuple(name for name in names if (modules / name.replace("-", "_")).is_dir())
