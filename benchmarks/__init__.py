"""Side by side with peers, in one run: see docs/benchmarks/README.md."""
