# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual rig: a Debian guest in QEMU with simulated cameras and lines, in which hw-tests/ run."""
