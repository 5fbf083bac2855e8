"""Images: where they lie, how they are read and decoded."""
