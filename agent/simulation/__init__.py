"""Simulated cameras at the level of system calls: `kernel.SimulatedKernel`, and `bench.simulated_kernel` to start with."""
