from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

class Shape:
    def __new__(
        cls,
        nodes: tuple[tuple[bool, tuple[tuple[bytes, int, int, bool], ...]], ...],
        slots: int,
        others: int,
    ) -> Shape: ...

def scan_json(
    shape: Shape,
    data: bytes | memoryview,
    offset: int,
    row: int,
    starts: Array,
    lengths: Array,
    kinds: Array,
    values: Array,
    /,
) -> tuple[int, int]: ...
def scan_csv(
    delimiter: int,
    slots: Array,
    data: bytes | memoryview,
    offset: int,
    row: int,
    starts: Array,
    lengths: Array,
    kinds: Array,
    values: Array,
    /,
) -> tuple[int, int]: ...
def match(
    parts: bytes,
    sizes: Array,
    nullable: bytes,
    data: bytes,
    begins: Array,
    ends: Array,
    starts: Array,
    lengths: Array,
    kinds: Array,
    values: Array,
    matched: Array,
    /,
) -> None: ...
def moments(
    data: bytes, starts: Array, lengths: Array, kinds: Array, seconds: Array, /
) -> list[int]: ...
def distinct(
    seed: int,
    data: bytes,
    starts: Array,
    lengths: Array,
    kinds: Array,
    codes: Array,
    firsts: Array,
    /,
) -> int: ...
