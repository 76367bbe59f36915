"""Simulated cameras at the level of system calls: `kernel.SimulatedKernel`; `bench.simulated_kernel` to begin with."""
