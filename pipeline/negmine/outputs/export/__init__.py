"""The negatives of a work folder in the forms that other people's code reads."""
