"""negmine: hard negatives for vision-language models, from captions to training shards."""

from importlib.metadata import version

__version__ = version("negmine")
