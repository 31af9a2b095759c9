"""Inspects a `.keras` file before Keras loads it; only known layers with plain weights pass.

A file can name classes of any Keras module, and Keras's safe mode and readers have been bypassed
before (CVE-2025-1550, CVE-2025-8747, CVE-2026-0897). Whatever is not in the tables here is refused,
harmful or not.
"""

import io
import json
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import h5py

from worker.errors import ModelError

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
LARGEST_TEXT = 1 << 24  # bytes of JSON; the built-in generator has 128,222
LARGEST_WEIGHTS = 1 << 32  # bytes; the built-in generator's are 10,611,296
LAYERS = {
    *("Add", "Average", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D"),
    *("DepthwiseConv2D", "GlobalAveragePooling2D", "InputLayer", "Multiply", "Normalization"),
    *("ReLU", "Rescaling", "Softmax", "Subtract", "UpSampling2D"),
}
INITIALIZERS = {"GlorotUniform", "Ones", "RandomNormal", "Zeros"}
FUNCTIONS = {"linear", "relu"}  # as `activation`
KNOWN = {  # module, class_name and registered_name, as Keras writes them
    ("keras.src.models.functional", "Functional", "Functional"),
    ("keras", "DTypePolicy", None),
    (None, "__keras_tensor__", None),
    *(("keras.layers", name, None) for name in LAYERS),
    *(("keras.initializers", name, None) for name in INITIALIZERS),
    *(("keras.src.ops.numpy", name, name) for name in ("Add", "TrueDivide")),
}
_NAMING = {"module", "class_name", "registered_name", "spec_name", "package"}
_BY_NAME = ("activation", "_initializer", "_regularizer", "_constraint")  # ends of keys
_EMPTY: tuple[Any, ...] = ("", [], {}, None)


class SafeArchive(NamedTuple):
    """What was read from a `.keras` file that passed: its configuration, and its HDF5 file."""

    config: dict[str, Any]
    weights: bytes


def read_archive(path: Path) -> SafeArchive:
    """Read a file, and refuse it if it is anything but known layers with plain weights.

    Raises:
        ModelError: says what is wrong.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            _check_members(archive)
            json.loads(archive.read(METADATA))
            config = json.loads(archive.read(CONFIG))
            _check_config(config)
            weights = archive.read(WEIGHTS)
            _check_weights(io.BytesIO(weights))
            return SafeArchive(config, weights)
    except ModelError as error:
        raise ModelError(
            f"{path} cannot be loaded as a generator: {error}; photochrom did not write it, or it"
            " was altered"
        ) from error
    except (zipfile.BadZipFile, ValueError, RecursionError, EOFError, NotImplementedError) as error:
        raise ModelError(f"{path} cannot be loaded as a generator: {error}") from error


def _check_members(archive: zipfile.ZipFile) -> None:
    """Require three uncompressed files, which cannot be decompression bombs."""
    members = archive.infolist()
    names = sorted(member.filename for member in members)
    if names != [CONFIG, METADATA, WEIGHTS]:
        strange = [name for name in names if name not in {CONFIG, METADATA, WEIGHTS}] or names
        raise ModelError(
            f"it must contain {CONFIG}, {METADATA} and {WEIGHTS} once each and nothing else; found"
            f" {', '.join(map(repr, strange[:3])) or 'nothing'}"
        )
    for member in members:
        plain = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not plain or member.compress_size != member.file_size or kind not in {0, stat.S_IFREG}:
            raise ModelError(
                f"its {member.filename} is compressed, encrypted or not a regular file"
            )
        most = LARGEST_WEIGHTS if member.filename == WEIGHTS else LARGEST_TEXT
        if member.file_size > most:
            raise ModelError(
                f"its {member.filename} has {member.file_size:,} bytes; the limit is {most:,}"
            )


def _check_config(config: Any) -> None:
    """Require every class named anywhere to be a known one."""
    if not isinstance(config, dict) or config.get("class_name") != "Functional":
        raise ModelError("its outermost layer is not a Functional model")
    waiting = [{key: value for key, value in config.items() if key != "compile_config"}]
    while waiting:
        value: Any = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            _check_object(value)
            waiting += value.values()


def _check_object(value: dict[str, Any]) -> None:
    if _NAMING & value.keys():
        named = [value.get(key) for key in ("module", "class_name", "registered_name")]
        of_text = all(part is None or isinstance(part, str) for part in named)
        if not of_text or tuple(named) not in KNOWN or {"spec_name", "package"} & value.keys():
            words = ".".join(str(part) for part in named[:2] if part is not None)
            raise ModelError(f"it names {words[:200]!r}, which is not a layer that photochrom uses")
    if value.get("compile_config") not in _EMPTY:
        raise ModelError("one of its layers has a compile_config")
    for key, inner in value.items():
        if key.endswith(_BY_NAME) and isinstance(inner, str) and inner not in FUNCTIONS:
            raise ModelError(f"it names {inner[:200]!r}, which photochrom does not use")


def _check_weights(file: BinaryIO) -> None:
    """Require plain datasets: uncompressed, in this file, each referenced once."""
    size = file.seek(0, io.SEEK_END)
    try:
        with h5py.File(file, "r") as weights:
            claimed = sum(dataset.nbytes for dataset in _datasets(weights))
    except (OSError, RuntimeError, LookupError, TypeError) as error:  # h5py's, of a damaged file
        raise ModelError(f"its {WEIGHTS} is damaged ({error})") from error
    if claimed > size:
        raise ModelError(f"its {WEIGHTS} claims {claimed:,} bytes of data and has {size:,}")


def _datasets(weights: h5py.File) -> Iterator[h5py.Dataset]:
    seen: set[int] = set()
    waiting: list[h5py.Group] = [weights]
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ModelError(f"in its {WEIGHTS}, {name!r} is a soft or external link")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise ModelError(f"in its {WEIGHTS}, {name!r} is referenced twice")
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif _is_plain(item):
                yield item
            else:
                raise ModelError(f"in its {WEIGHTS}, {name!r} is not a plain dataset of numbers")


def _is_plain(item: Any) -> bool:
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "fiu":
        return False
    made = item.id.get_create_plist()
    whole = made.get_layout() in {h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT}
    here = made.get_external_count() == 0 and item.id.get_storage_size() == item.nbytes
    return bool(whole and here and made.get_nfilters() == 0)
