"""A predictor without a generator, which fails as tests say, and what loads it."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

import numpy as np

from service.ledger.ledger import ActiveModel
from service.pipeline.pipeline import Pipeline
from worker import render
from worker.color.cielab import Floats
from worker.errors import ScanError
from worker.inference.local_engine import LocalEngine
from worker.inference.predictor import Colors
from worker.inference.wishes import ab_of
from worker.metadata.credentials import CredentialSettings
from worker.metadata.provenance import Origin, Record
from worker.scan import Page, Scan
from worker.settings import ColorWishes, WriteSettings

LONGEST_WAIT = 30.0  # seconds; a test that forgets to open the gate fails instead of hanging


class FakeChroma(np.ndarray):  # type: ignore[type-arg]
    """Chroma that knows which fake predicted it, so that it is rendered with that one's faults."""

    maker: "FakeColorist"

    def __array_finalize__(self, made_of: object) -> None:
        """Hand the maker on to what is computed from it."""
        self.maker = getattr(made_of, "maker", None)  # type: ignore[assignment]


_real_write = render.write
_settings: ContextVar[WriteSettings] = ContextVar("settings")
_signer: ContextVar[CredentialSettings | None] = ContextVar("signer")


def _write(
    photo: Scan,
    chromas: Sequence[Floats],
    origin: Origin,
    settings: WriteSettings,
    file: BinaryIO,
    signer: CredentialSettings | None = None,
) -> Record:
    """Stand for `worker.render.write`: what a fake predicted goes by way of its `paint`."""
    maker = getattr(chromas[0], "maker", None)
    if maker is None:
        return _real_write(photo, chromas, origin, settings, file, signer)
    _settings.set(settings)
    _signer.set(signer)
    record: Record = maker.paint(photo, chromas, origin, file)
    return record


render.write = _write  # in each process that imports this


class FakeColorist:
    """Predicts the same brown for every page; stands for `worker.inference.colorizer.Colorizer`.

    Attributes:
        faults: raised by the next calls of `predict`, one each.
        paint_faults: raised by the next calls of `paint`, one each.
        refuses: tells for which pages `predict` gives a ScanError.
        gate: while it is closed (`clear`), `paint` waits.
        device_gate: while it is closed, `predict` waits.
        batches: how many photos each call of `predict` got.
        painted: how many photos were painted.
    """

    def __init__(self, batch_size: int = 2, model: str = "fake") -> None:
        """Start obedient, with the gate open."""
        self.batch_size = batch_size
        self.model = model
        self.weights_sha256 = "0" * 64
        self.folder = Path()
        self.render_size = 64
        self.precision = "float32"
        self.faults: deque[Exception] = deque()
        self.paint_faults: deque[Exception] = deque()
        self.refuses: Callable[[Page], bool] = lambda _page: False
        self.gate = threading.Event()
        self.gate.set()
        self.device_gate = threading.Event()
        self.device_gate.set()
        self.batches: list[int] = []
        self.painted = 0
        self._lock = threading.Lock()

    def predict(self, pages: Sequence[Page]) -> list[Floats | ScanError]:
        """Give the same chroma for each page, or a refusal, or a fault."""
        self.batches.append(len(pages))
        _wait(self.device_gate)
        if self.faults:
            raise self.faults.popleft()
        brown = np.full((4, 4, 2), (8.0, 16.0), np.float32).view(FakeChroma)
        brown.maker = self
        return [ScanError("refused by the fake") if self.refuses(one) else brown for one in pages]

    def color(
        self, pages: Sequence[Page], wishes: Sequence[ColorWishes]
    ) -> list[Colors | ScanError]:
        """Give what `predict` gives, as is wished, and be half sure of it.

        It knows of two variants, and a point colors all of its page.
        """
        results: list[Colors | ScanError] = []
        for one, wish in zip(self.predict(pages), wishes, strict=True):
            if isinstance(one, ScanError):
                results.append(one)
            else:
                ab = one * np.float32(wish.vividness / 50)
                ab += np.float32(min(wish.variant, 1) * 9 + wish.warmth)
                if wish.points:
                    ab[:] = ab_of(wish.points[-1].color)
                results.append(Colors(ab, 0.5))
        return results

    def paint(
        self, photo: Scan, chroma: Sequence[Floats], origin: Origin, file: BinaryIO
    ) -> Record:
        """Wait for the gate, then write the photo or fail; called for what it predicted."""
        _wait(self.gate)
        with self._lock:
            fault = self.paint_faults.popleft() if self.paint_faults else None
        if fault:
            file.write(b"half a photo")
            raise fault
        plain = [np.asarray(one) for one in chroma]
        record = _real_write(photo, plain, origin, _settings.get(), file, _signer.get())
        with self._lock:
            self.painted += 1
        return record

    def device_memory(self) -> int | None:
        """Have none, as a processor."""
        return None


class FakeLoader:
    """Stands for `model_loading.ModelLoader`: it knows what a test promotes, and loads fakes.

    Attributes:
        version: what is promoted; an exception is raised instead.
        faults: by version, why it cannot be loaded.
        gate: while it is closed, loading waits.
        loaded: what was asked for, in order.
        first: what colors at the start.
        next: what the next `start` gives, as a reload asks for it; an exception is raised instead.
    """

    def __init__(self, version: str = "builtin") -> None:
        """Start with every version in order."""
        self.version: str | Exception = version
        self.faults: dict[str, Exception] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.loaded: list[str] = []
        self.first = FakeColorist()
        self.next: FakeColorist | Exception = self.first

    def start(self) -> tuple[FakeColorist, ActiveModel]:
        """Give the next colorist, or its fault."""
        if isinstance(self.next, Exception):
            raise self.next
        return self.next, ActiveModel(self.next.model)

    def tell(self, colorist: FakeColorist, serving: ActiveModel) -> None:
        """Keep it to itself."""

    def promoted(self) -> str:
        """Name what is promoted."""
        if isinstance(self.version, Exception):
            raise self.version
        return self.version

    def load(self, name: str) -> FakeColorist:
        """Give a colorist of that name, or its fault."""
        self.loaded.append(name)
        _wait(self.gate)
        if name in self.faults:
            raise self.faults[name]
        return FakeColorist(model=name)


def rendering(pipeline: Pipeline) -> int:
    """Count the photographs that the writers of a pipeline's engine have in hand."""
    engine = pipeline.engine
    assert isinstance(engine, LocalEngine)
    return engine._writing


def _wait(gate: threading.Event) -> None:
    if not gate.wait(LONGEST_WAIT):
        raise AssertionError("the test left the gate closed")


class FakeInbox:
    """Stands for the watched inbox: notes what it is told, and waits for nothing unless told to."""

    def __init__(self) -> None:
        """Nothing was told."""
        self.revisited: list[Path] = []
        self.held: list[tuple[Path, str]] = []
        self.waits = False  # for the rest of what is not whole

    def revisit(self, path: Path) -> None:
        """Note a path that is to be looked at anew."""
        self.revisited.append(path)

    def settle_of(self, _path: Path) -> float:
        """Return the seconds a file must stay unchanged: a few."""
        return 2.0

    def hold(self, path: Path, reason: str, _now: float) -> bool:
        """Note that the rest of a file is to be waited for."""
        self.held.append((path, reason))
        return self.waits
