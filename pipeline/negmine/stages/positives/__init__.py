"""Texts that stay true of the image: the same said otherwise, or less of it."""
