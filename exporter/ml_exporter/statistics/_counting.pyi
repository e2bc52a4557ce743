from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def bin_codes(values: Array, edges: Array, codes: Array, counts: Array, /) -> None: ...
def project(codes: tuple[Array, ...], sizes: Array, tables: Array, values: Array, /) -> None: ...
def count_projected(
    codes: tuple[Array, ...], sizes: Array, tables: Array, thresholds: Array, counts: Array, /
) -> None: ...
