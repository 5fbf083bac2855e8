"""Captions and images of any source, as rows with keys: `PAIRS` of every command."""
