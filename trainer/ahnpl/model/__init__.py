"""Models: built, adapted, saved, loaded and exported."""
