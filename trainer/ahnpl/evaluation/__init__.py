"""Evaluation: held-out shards and benchmarks. A format is one file here and one line in `benchmarks`."""
