"""What the arrays hold, by name. Their shapes stand where they are made or asked for, as ``[Q, C]``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
"""Ids of pairs: places in the whole corpus."""

Places = NDArray[np.int64]
"""Places in another array, and numbers of them: rows, ranks, bounds, sizes."""

Starts = NDArray[np.int64]
"""Where each run of another array begins, and where the last one ends: [n + 1]."""

Places32 = NDArray[np.int32]
Places16 = NDArray[np.int16]
"""Kept in fewer bits, where there are many; -1 for none."""

Integers = NDArray[np.integer]
"""Any of these, where a function serves all."""

Scores = NDArray[np.float32]
"""Similarities, and what is reckoned with them."""

Floats = NDArray[np.float64]
"""Shares and statistics."""

Halves = NDArray[np.float16]
"""Vectors as they are kept where there are many."""

Bytes = NDArray[np.uint8]

Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]
"""Embeddings, a row each."""

Mask = NDArray[np.bool_]

Hashes = NDArray[np.uint64]

Codes = NDArray[np.int8]
"""Numbers of names in a short list; -1 for none of them."""

Records = NDArray[np.void]
"""Rows with named fields."""
