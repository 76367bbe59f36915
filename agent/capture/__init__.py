"""Capturing: one camera's session from settings to frames, and its way back."""
