"""One folder a stage, named as the folder that it leaves on disk. None imports another."""
