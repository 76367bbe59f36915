"""Which cameras there are, what each of them is, and what comes and goes: udev, without asyncio and without V4L2."""
