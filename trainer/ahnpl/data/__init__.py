"""Shards read as a stream of batches."""
