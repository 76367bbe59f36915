"""Frames lent to other processes by descriptor: never by copy, always for a time (docs/decisions/0012)."""
