"""camera-agent: owns a machine's V4L2 cameras."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("camera-agent")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0+unknown"
