"""A model file is opened by Keras only if it is a plain archive of known layers and numbers."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from tests.support.small_generators import tiny_generator
from worker.errors import ModelError
from worker.models.decoding import color_grid, with_decoding
from worker.models.generator import with_consensus
from worker.models.safe_archive import KNOWN, LAYERS, read_archive
from worker.models.serialization import load_generator, save_generator
from worker.models.version import ModelVersion, digest

LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wEA", None, None]}}
LAYER = {"name": "x", "inbound_nodes": [], "config": {"name": "x"}}
HOSTILE_LAYERS: dict[str, dict[str, Any]] = {
    "Lambda": {
        "module": "keras.layers",
        "class_name": "Lambda",
        "registered_name": None,
        "config": {"name": "x", "function": LAMBDA},
    },
    "os": {"module": "os", "class_name": "system", "registered_name": None},
    "subprocess": {"module": "subprocess", "class_name": "Popen", "registered_name": "Popen"},
    "function of a module": {
        "module": "keras.utils",
        "class_name": "function",
        "config": "get_file",
        "registered_name": "get_file",
    },
    "TFSMLayer": {
        "module": "keras.layers",
        "class_name": "TFSMLayer",
        "registered_name": None,
        "config": {"filepath": "/tmp/evil", "name": "x"},  # noqa: S108 - it is never opened
    },
    "custom package": {"module": "evil", "class_name": "Conv2D", "registered_name": "evil>Conv2D"},
    "known name, other module": {"module": "os", "class_name": "Conv2D", "registered_name": None},
    "known name, registered": {
        "module": "keras.layers",
        "class_name": "Conv2D",
        "registered_name": "evil>Conv2D",
    },
    "old Keras": {"class_name": "Lambda"},
    "type spec": {
        "class_name": "__typespec__",
        "spec_name": "TensorSpec",
        "module": "tensorflow",
        "registered_name": None,
    },
    "names that are no text": {"module": ["keras"], "class_name": {}, "registered_name": None},
    "compiled": {
        "module": "keras.layers",
        "class_name": "ReLU",
        "registered_name": None,
        "compile_config": {"optimizer": "adam"},
    },
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a generator."""
    path = tmp_path_factory.mktemp("honest") / "generator.keras"
    save_generator(tiny_generator(2), path)
    return path


@pytest.fixture
def members(honest: Path) -> dict[str, bytes]:
    """Return what is in its file; tests spoil it."""
    with zipfile.ZipFile(honest) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(folder: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Write a `.keras` file of these members."""
    path = folder / "generator.keras"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def weights_of(make: Callable[[h5py.File], object]) -> bytes:
    """Write an HDF5 file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        make(file)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail when Keras is given anything of a file by a test of a hostile one."""
    given: list[Any] = []
    monkeypatch.setattr(
        keras.saving, "deserialize_keras_object", lambda config, **_: given.append(config)
    )
    yield
    assert [] == given


def refused(path: Path, words: str) -> None:
    """Make sure that a file, though its card vouches for it, is refused before Keras sees it."""
    version = ModelVersion("1", path.parent, {"sha256": digest(path)})
    with pytest.raises(ModelError, match=words) as fault:
        load_generator(version)

    assert str(path) in str(fault.value)
    assert "cannot be loaded as a generator" in str(fault.value)
    assert str(fault.value).isprintable()


class TestHonest:
    """What photochrom makes passes."""

    def test_the_built_in_generator_passes(self) -> None:
        """With its consensus and decoding."""
        read_archive(Path(str(files("worker") / "weights/builtin/generator.keras")))

    def test_a_new_generator_passes(self, tmp_path: Path, small_generator: keras.Model) -> None:
        """With consensus and decoding; the table knows no layer that they do not have."""
        path = tmp_path / "generator.keras"
        shift = np.zeros(len(color_grid()))
        save_generator(with_decoding(with_consensus(small_generator), shift, 0.5), path)
        read_archive(path)
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        used = {layer["class_name"] for layer in config["config"]["layers"]}

        assert LAYERS <= used | {"Functional"}

    def test_every_known_layer_is_keras_own(self) -> None:
        """None of them runs code or opens files."""
        assert all(module is None or module.startswith("keras") for module, _, _ in KNOWN)
        assert not {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer"} & LAYERS


class TestArchive:
    """Three members, as they are."""

    @pytest.mark.parametrize(
        "name",
        ["assets/vocabulary.txt", "../../etc/cron.d/evil", "/etc/evil", "code.pkl", "a\x1b[2J"],
    )
    def test_a_fourth_member_is_refused(
        self, tmp_path: Path, members: dict[str, bytes], name: str
    ) -> None:
        """By whatever name, and that is not printed raw."""
        refused(packed(tmp_path, members | {name: b"evil"}), "and nothing else")

    def test_a_missing_or_doubled_member_is_refused(
        self, tmp_path: Path, members: dict[str, bytes]
    ) -> None:
        """Of two of one name, two readers may take either."""
        path = packed(tmp_path, members)
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("config.json", members["config.json"])
        refused(path, "once each")
        del members["model.weights.h5"]
        refused(packed(tmp_path, members), "once each")

    def test_weights_as_numpy_writes_them_are_refused(
        self, tmp_path: Path, members: dict[str, bytes]
    ) -> None:
        """Arrays of objects in them are pickles."""
        members["model.weights.npz"] = members.pop("model.weights.h5")
        refused(packed(tmp_path, members), "once each")

    @pytest.mark.timeout(20)
    def test_a_bomb_is_refused_unread(self, tmp_path: Path, members: dict[str, bytes]) -> None:
        """100 MB of zeros in 100 KB; nothing packed is unpacked."""
        members["config.json"] = bytes(100_000_000)
        refused(packed(tmp_path, members, zipfile.ZIP_DEFLATED), "is compressed")

    def test_a_config_beyond_all_measure_is_refused(
        self, tmp_path: Path, members: dict[str, bytes]
    ) -> None:
        """A hundred times the built-in one's is enough."""
        members["config.json"] = b" " * (1 << 24) + b"{}"
        refused(packed(tmp_path, members), "the limit is 16,777,216")

    @pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"[]", b"7", b"{}"])
    def test_a_config_that_is_none_is_refused(
        self, tmp_path: Path, members: dict[str, bytes], text: bytes
    ) -> None:
        """Cut off, endless, of another kind."""
        refused(packed(tmp_path, members | {"config.json": text}), "cannot be loaded")

    def test_a_file_cut_short_anywhere_is_refused(self, tmp_path: Path, honest: Path) -> None:
        """At each of 64 places."""
        data = honest.read_bytes()
        for part in range(64):
            (tmp_path / "generator.keras").write_bytes(data[: len(data) * part // 64])
            refused(tmp_path / "generator.keras", "cannot be loaded")


class TestLayers:
    """Every name in the config is in the table."""

    @pytest.mark.parametrize("kind", HOSTILE_LAYERS)
    @pytest.mark.parametrize("where", ["layer", "initializer", "deep in an argument"])
    def test_what_is_not_known_is_refused_wherever_it_stands(
        self, tmp_path: Path, members: dict[str, bytes], kind: str, where: str
    ) -> None:
        """Keras makes objects of all of them."""
        config = json.loads(members["config.json"])
        layers = config["config"]["layers"]
        evil = {**LAYER, **HOSTILE_LAYERS[kind]}
        if where == "layer":
            layers.append(evil)
        elif where == "initializer":
            layers[1]["config"]["kernel_initializer"] = evil
        else:
            layers[1]["inbound_nodes"][0]["kwargs"] = {"mask": [[{"a": [evil]}]]}
        members["config.json"] = json.dumps(config).encode()

        refused(packed(tmp_path, members), "not a layer that photochrom uses|has a compile_config")

    @pytest.mark.parametrize("name", ["my_package>f", "get_file", "__main__"])
    def test_a_function_by_name_is_refused(
        self, tmp_path: Path, members: dict[str, bytes], name: str
    ) -> None:
        """But for the two that generators have."""
        config = json.loads(members["config.json"])
        config["config"]["layers"][1]["config"]["activation"] = name
        members["config.json"] = json.dumps(config).encode()

        refused(packed(tmp_path, members), "photochrom does not use")

    def test_another_model_around_it_is_refused(
        self, tmp_path: Path, members: dict[str, bytes]
    ) -> None:
        """A Sequential, or a subclass."""
        config = json.loads(members["config.json"]) | {"class_name": "Sequential"}
        members["config.json"] = json.dumps(config).encode()

        refused(packed(tmp_path, members), "not a Functional model")


def _packed_numbers(file: h5py.File) -> None:
    file.create_dataset("a", data=np.zeros(10_000_000, "f2"), compression="gzip")


def _twice(file: h5py.File) -> None:
    file["a"] = np.zeros(3)
    file["b"] = file["a"]


def _in_circles(file: h5py.File) -> None:
    file.create_group("a")["b"] = file["/"]


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3,), "f4")
    file.create_virtual_dataset("a", layout)


HOSTILE_WEIGHTS: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "external link": (
        lambda file: file.__setitem__("a", h5py.ExternalLink("/etc/passwd", "/x")),
        "soft or external link",
    ),
    "soft link": (lambda file: file.__setitem__("a", h5py.SoftLink("/b")), "soft or external link"),
    "external storage": (
        lambda file: file.create_dataset("a", (8,), "u1", external=[("/etc/passwd", 0, 8)]),
        "not a plain dataset",
    ),
    "virtual": (_virtual, "not a plain dataset"),
    "packed": (_packed_numbers, "not a plain dataset"),
    "never written": (
        lambda file: file.create_dataset("a", (1 << 40,), "f4"),
        "not a plain dataset",
    ),
    "text": (lambda file: file.__setitem__("a", "evil"), "not a plain dataset"),
    "references": (
        lambda file: file.create_dataset("a", (1,), h5py.ref_dtype),
        "not a plain dataset",
    ),
    "type": (lambda file: file.__setitem__("a", np.dtype("f4")), "not a plain dataset"),
    "twice": (_twice, "referenced twice"),
    "in circles": (_in_circles, "referenced twice"),
}


class TestWeights:
    """Numbers, in the file itself."""

    @pytest.mark.parametrize("kind", HOSTILE_WEIGHTS)
    def test_what_is_no_plain_number_is_refused(
        self, tmp_path: Path, members: dict[str, bytes], kind: str
    ) -> None:
        """A link would have Keras read other files of the machine."""
        make, words = HOSTILE_WEIGHTS[kind]
        refused(packed(tmp_path, members | {"model.weights.h5": weights_of(make)}), words)

    def test_what_is_no_hdf5_is_refused(self, tmp_path: Path, members: dict[str, bytes]) -> None:
        """Nor what is cut short."""
        whole = members["model.weights.h5"]
        for data in (b"", b"\x80\x04.", whole[:999], whole[: len(whole) // 2]):
            refused(packed(tmp_path, members | {"model.weights.h5": data}), "is damaged")


def test_keras_is_asked_once_a_file_has_passed(
    honest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In safe mode, and it compiles nothing."""
    asked: list[dict[str, Any]] = []

    def build(config: dict[str, Any], **how: Any) -> keras.Model:
        asked.append({"compile_config": config["compile_config"], **how})
        return keras.models.Model.from_config(config["config"])

    monkeypatch.setattr(keras.saving, "deserialize_keras_object", build)
    load_generator(ModelVersion("1", honest.parent, {"sha256": digest(honest)}))

    assert [{"compile_config": None, "safe_mode": True}] == asked
