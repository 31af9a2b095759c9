"""The manifest of a collection: every photograph in it, and every one left out, and why."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

from worker.atomic import write_atomically
from worker.training.data.cache import Facts
from worker.training.data.licenses import Terms

SCHEMA = 1

Side = Literal["training", "validation"]


@dataclass(frozen=True)
class Kept:
    """A photograph of the collection; width and height in pixels, upright."""

    path: str
    digest: str
    perceptual_hash: str
    side: Side
    width: int
    height: int
    license: str
    source: str

    @classmethod
    def of(cls, facts: Facts, path: Path, side: Side, terms: Terms) -> Self:
        """Combine what is known about a photograph."""
        return cls(
            str(path),
            facts.digest,
            facts.perceptual_hash,
            side,
            facts.width,
            facts.height,
            terms.license,
            terms.source,
        )


@dataclass(frozen=True)
class LeftOut:
    """A file that is not in the collection; `why` adds details to the reason, if there are any."""

    path: str
    reason: str
    why: str = ""


class Written(NamedTuple):
    """A manifest on disk.

    Attributes:
        path: of the file.
        digest: SHA-256 over the entries of the kept photographs without their paths, so that a
            collection keeps it when it is moved.
        left_out: number of files left out, by reason, most frequent first.
    """

    path: Path
    digest: str
    left_out: dict[str, int]


def write(folder: Path, kept: list[Kept], left_out: list[LeftOut]) -> Written:
    """Write a manifest, named after its digest.

    Args:
        folder: of manifests; created if missing.
        kept: in the order of digests.
        left_out: in any order.

    Raises:
        OSError: the disk is full or failed.
    """
    photographs = [asdict(one) for one in kept]
    lasting = [{key: one[key] for key in one if key != "path"} for one in photographs]
    digest = hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()
    manifest = {
        "schema": SCHEMA,
        "digest": digest,
        "photographs": photographs,
        "left_out": [asdict(one) for one in sorted(left_out, key=lambda one: one.path)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest[:16]}.json"
    write_atomically(path, json.dumps(manifest, indent=1))
    return Written(path, digest, dict(Counter(one.reason for one in left_out).most_common()))
