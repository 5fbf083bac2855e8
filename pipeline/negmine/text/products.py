"""Matrix products for spaCy by NumPy's BLAS, several times as fast as the BLIS that thinc brings.

They are most of the time of a parse. The parses are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from thinc.api import NumpyOps, registry


@registry.ops("NumpyProducts")
class NumpyProducts(NumpyOps):  # type: ignore[misc]
    """thinc's operations on arrays, with NumPy's matrix product. Models made under ``use_ops(name)`` keep it."""

    name = "negmine-numpy"

    def gemm(self, x: Any, y: Any, out: Any = None, trans1: bool = False, trans2: bool = False) -> Any:
        return np.matmul(x.T if trans1 else x, y.T if trans2 else y, out=out)
