"""The command line: verbs into calls, and the only place that prints."""
