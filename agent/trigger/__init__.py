"""Trigger lines, pulses on them, and the books that pair pulses with frames; the seam is `agent.trigger.lines`."""
