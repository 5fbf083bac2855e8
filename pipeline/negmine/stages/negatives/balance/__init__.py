"""Negatives that the text alone does not give away.

What replacements make more common among negatives than among captions is a cue that a model can use without looking.
So candidates are weighed by what would tell them from captions, with tables that were counted on other images: a choice
is never scored by counts that it took part in.
"""
