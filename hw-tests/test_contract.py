"""The contract suite on the rig's cameras: the same tests that the simulation passes."""

from contract.suite import *  # noqa: F403
