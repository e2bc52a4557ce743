class Recorder:
    routes: dict[bytes, int]
    clock: float
    allowed: float
    failures: float
    def __init__(
        self,
        offsets: memoryview,
        written: int,
        read: int,
        data: memoryview,
        counts: memoryview,
        layout: tuple[int, int, int],
        buckets: tuple[float, ...],
        methods: tuple[int, ...],
        body_limit: int,
        share: float,
    ) -> None: ...

class Lane:
    @property
    def is_busy(self) -> bool: ...
    def request(
        self, data: bytes, peer: bytes, ending: bytes, recorder: Recorder, /
    ) -> bytes | None: ...
    def response(self, data: bytes, /) -> bool: ...
    def hand_over(self) -> tuple[bytes, int, float]: ...
