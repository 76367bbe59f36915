"""Everything that speaks V4L2, on the kernel seam of `agent.kernel`."""
