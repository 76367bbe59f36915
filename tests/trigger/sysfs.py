"""A folder that looks like /sys/module."""


def make_parameter(modules, module, parameter, text, mode=0o644):
    folder = modules / module / "parameters"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / parameter
    path.write_text(f"{text}\n")
    path.chmod(mode)
    return path
