"""YAML files to typed values: strict, all errors at once, each with file, line and key."""
