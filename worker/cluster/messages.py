"""What goes through the pipe and over the network: frozen dataclasses of plain data, as JSON.

Names of files may hold bytes that are no UTF-8; JSON escapes them, and gives them back.
"""

import errno
import json
import types
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import (
    Any,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from worker.inference.engine import Colored, Failed, Outcome, WorkerState

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # on storage that all workers share

Loss = Literal["worker", "crash", "memory"]
T = TypeVar("T")


@dataclass(frozen=True)
class ClusterSettings:
    """How an engine uses a Ray cluster.

    Attributes:
        address: of the cluster's head, HOST:PORT.
        token: path of the file with the cluster's token; "" for none.
        shared: whether the workers see the folders of photographs under the same paths; otherwise
            files go through Ray's object store.
        workers: how many; 0: as many as the cluster has room for.
        cpus: cores of each.
        gpu: whether each owns a GPU.
        patience: seconds without a sign of life after which a worker is given up.
        first_wait: seconds that a worker rests after a fault of its machine; twice as long after
            each more.
        longest_wait: seconds that it rests at most.
        parts: how files are opened and generators loaded there, in words of whoever starts it.
    """

    address: str
    token: str = ""
    shared: bool = True
    workers: int = 0
    cpus: int = 2
    gpu: bool = False
    patience: float = 60.0
    first_wait: float = 5.0
    longest_wait: float = 600.0
    parts: str = "{}"

    @property
    def in_flight(self) -> int:
        """How many photographs a worker has at once: two, so that it never waits, or one a core."""
        return max(2, self.cpus)


@dataclass(frozen=True)
class Model:
    """A version of the generator that the workers are to color with; `folder` has its files."""

    name: str
    sha256: str
    folder: str


@dataclass(frozen=True)
class Order:
    """A photograph to color.

    Attributes:
        ticket: its number, given once in the life of an engine.
        task: as JSON.
        seconds: after which it is given up.
        carried: bytes that it takes in Ray's object store, about; 0 with shared storage.
        alone: whether its worker gets no other meanwhile, since it may have crashed one.
    """

    ticket: int
    task: str
    seconds: float
    carried: int
    alone: bool = False


@dataclass(frozen=True)
class Reply:
    """What became of an order.

    Attributes:
        ticket: of the order.
        worker: that had it, or "".
        outcome: as JSON; "" where the worker was lost, and `kind` and `reason` say how.
        batches: photographs and device seconds of the batches since the worker's last reply.
        kind: "worker" where its machine or the way to it failed, "crash" where its process ended,
            "memory" where it was ended for want of memory.
        reason: in words.
    """

    ticket: int
    worker: str = ""
    outcome: str = ""
    batches: tuple[tuple[int, float], ...] = ()
    kind: Loss | Literal[""] = ""
    reason: str = ""


class Painted(NamedTuple):
    """What a worker gives back by way of Ray.

    Attributes:
        outcome: of the photograph, as JSON.
        is_colored: whether it is a result.
        fault: of the worker's machine, in words; or "".
        batches: photographs and device seconds of the batches since the last one.
        written: what is to be written into the staging file, without shared storage.
    """

    outcome: str
    is_colored: bool
    fault: str = ""
    batches: tuple[tuple[int, float], ...] = ()
    written: bytes = b""

    @classmethod
    def of(
        cls,
        outcome: Outcome,
        batches: Iterable[tuple[int, float]] = (),
        written: bytes = b"",
    ) -> Self:
        """Make it of an outcome."""
        fault = ""
        if isinstance(outcome, Failed) and is_of_a_machine(outcome):
            fault = outcome.reason or outcome.kind
        is_colored = isinstance(outcome, Colored)
        return cls(text_of(outcome), is_colored, fault, tuple(batches), written)


def is_of_a_machine(failure: Failed) -> bool:
    """Tell whether a photograph failed for a reason that another machine may not have."""
    if failure.kind == "disk":
        return failure.errno not in NO_ROOM
    return failure.kind in {"device", "memory", "model"}


@dataclass(frozen=True)
class State:
    """How the bridge stands.

    Attributes:
        room: how many photographs the workers that are ready take at once.
        workers: all of them.
        deaths: workers lost since the bridge started.
        progress: a number that changes whenever a photograph anywhere has moved on.
        trouble: why nothing is colored, in words; or "".
    """

    room: int
    workers: tuple[WorkerState, ...]
    deaths: int
    progress: int
    trouble: str = ""


@dataclass(frozen=True)
class End:
    """The bridge is to end, or ends for this reason."""

    reason: str = ""


Message = ClusterSettings | Model | Order | Reply | State | End
_KINDS: dict[str, type[Any]] = {
    one.__name__: one for one in (ClusterSettings, Model, Order, Reply, State, End)
}


def line_of(message: Message) -> bytes:
    """Return a message as a line."""
    text = json.dumps([type(message).__name__, asdict(message)], default=_text_of_bytes)
    return text.encode("ascii") + b"\n"


def message_of(line: bytes) -> Message:
    """Return the message of a line.

    Raises:
        ValueError: it is none.
    """
    try:
        name, values = json.loads(line)
        message: Message = decode(_KINDS[name], values)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no message: {line[:200]!r}") from error
    return message


def text_of(value: Any) -> str:
    """Return a frozen dataclass of plain data as JSON."""
    return json.dumps(asdict(value), default=_text_of_bytes)


def outcome_of(text: str) -> Outcome:
    """Read an outcome from JSON."""
    values = json.loads(text)
    kind: type[Outcome] = Failed if "kind" in values else Colored
    return decode(kind, values)


def decode(kind: type[T], values: Any) -> T:
    """Make a value of a type from what JSON made of it.

    Raises:
        KeyError, TypeError, ValueError: it is not of that type.
    """
    make: Callable[[Any], T] = _maker(kind)  # type: ignore[arg-type] # a type is hashable
    return make(values)


def _text_of_bytes(value: bytes) -> str:
    return value.decode("latin-1")


@cache
def _maker(kind: Any) -> Callable[[Any], Any]:
    """Return what makes values of a type; dataclasses, tuples, options and bytes need it."""
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        makers = [(one.name, _maker(hints[one.name])) for one in fields(kind)]
        return lambda given: kind(**{name: make(given[name]) for name, make in makers})
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _tuple_maker(inner)
    if origin in {Union, types.UnionType}:
        some = next((one for one in inner if one is not type(None)), str)
        make = _maker(some)
        return lambda given: None if given is None else make(given)
    if kind is bytes:
        return lambda given: given.encode("latin-1")
    return lambda given: given


def _tuple_maker(inner: tuple[Any, ...]) -> Callable[[Any], Any]:
    if inner[-1] is Ellipsis:
        make = _maker(inner[0])
        return lambda given: tuple(map(make, given))
    makers = [_maker(one) for one in inner]
    return lambda given: tuple(make(one) for make, one in zip(makers, given, strict=True))
