"""Plans, ticks, priorities, quotas and counters: pure. No I/O, no clock of its own: time is an argument."""
