"""What goes wrong when a camera is put into a trigger mode."""

from __future__ import annotations

from agent.errors import AgentError, InputError


class TriggerModeUnknown(InputError):
    """Nobody told how this camera is put into this mode. Details: device, mode, modes, known."""

    code = "trigger_mode_unknown"


class TriggerOptionUnknown(InputError):
    """The mode is known, but not how to choose this activation, delay or debounce. Details: device, option, asked."""

    code = "trigger_option_unknown"


class TriggerModeNotProven(AgentError):
    """It was set, but reading it back shows something else: no pulse may be sent. Details: mismatches."""

    code = "trigger_mode_not_proven"
    exit_code = 6


class ModuleParameterError(AgentError):
    """A parameter of a kernel module. Details: module, parameter, value, path."""

    code = "module_parameter"
    exit_code = 6


class ModuleNotLoaded(ModuleParameterError):
    """The module is not there: another sensor, or its driver was not loaded."""

    code = "module_not_loaded"
    exit_code = 3


class ModuleParameterMissing(ModuleParameterError):
    """This kernel's driver has no such parameter."""

    code = "module_parameter_missing"


class ModuleParameterFixed(ModuleParameterError):
    """It can only be given when the module is loaded; the hint says what to write where."""

    code = "module_parameter_fixed"


class ModuleParameterPermission(ModuleParameterError):
    """It could be changed now, but not by this user."""

    code = "module_parameter_permission"
    exit_code = 4
