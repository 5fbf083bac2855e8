"""What negatives are worth: defects, coverage, diversity, and whether they can be told from captions without looking.

Nothing here knows how negatives are made. Detectors read two texts and the other captions of the image; they share
neither tokens nor guards with the generator, so that a mistake there is seen here.
"""
