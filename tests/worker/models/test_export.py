"""What is exported runs without photochrom and gives its colors."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from worker.errors import DeviceError, ModelError
from worker.models import export, store
from worker.models.decoding import color_grid, decode, with_decoding
from worker.models.export import FORMATS, TOLERANCE, export_version
from worker.models.serialization import load_generator
from worker.models.version import GENERATOR_FILE, ModelVersion, digest

SIDE = 64
GAIN = 1.15  # of the version's decoding


@pytest.fixture(scope="session")
def version(small_generator: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """Save a generator whose colors are strong."""
    served = with_decoding(small_generator, np.linspace(-1, 1, len(color_grid())), 0.2, GAIN)
    folder = tmp_path_factory.mktemp("models") / "0001"
    store.save_version(served, {}, folder)
    return ModelVersion("1", folder, {"sha256": digest(folder / GENERATOR_FILE)})


@pytest.fixture(scope="session")
def squares() -> np.ndarray:
    """Return three squares, another number than the check uses, (3, 64, 64, 1)."""
    return np.random.default_rng(5).random((3, SIDE, SIDE, 1), np.float32)


@pytest.fixture(scope="session")
def colors(version: ModelVersion, squares: np.ndarray) -> np.ndarray:
    """Return what the generator gives for them, by the road that serves."""
    ab, _spread = decode(load_generator(version)(squares, training=False), GAIN)
    return np.asarray(ab)


def off_by(expected: np.ndarray, actual: np.ndarray) -> float:
    """Return the largest difference of two arrays of one shape, ab units."""
    assert (3, SIDE // 4, SIDE // 4, 2) == expected.shape == actual.shape
    assert np.ptp(expected, axis=(0, 1, 2)).min() > 10  # else everything would be alike
    return float(np.abs(expected - actual).max())


def test_a_keras_export_gives_the_colors_in_plain_keras(
    version: ModelVersion, squares: np.ndarray, colors: np.ndarray, tmp_path: Path
) -> None:
    """It loads in safe mode, computes in float32, and takes any size and number."""
    exported = export_version(version, "keras", tmp_path / "colors.keras", SIDE)
    loaded = keras.models.load_model(tmp_path / "colors.keras", compile=False, safe_mode=True)

    assert exported.difference < 0.01
    assert off_by(colors, np.asarray(loaded(squares, training=False))) < 0.01
    assert (1, 24, 24, 2) == loaded(np.zeros((1, 96, 96, 1), np.float32), training=False).shape
    assert ["colors.keras"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.slow
def test_a_savedmodel_gives_the_colors_in_plain_tensorflow(
    version: ModelVersion, squares: np.ndarray, colors: np.ndarray, tmp_path: Path
) -> None:
    """By its endpoint and by its serving signature, for any number of squares."""
    exported = export_version(version, "savedmodel", tmp_path / "colors", SIDE)
    loaded = tf.saved_model.load(tmp_path / "colors")
    signed = loaded.signatures["serving_default"](tf.constant(squares))

    assert exported.difference < 0.01
    assert off_by(colors, loaded.serve(squares).numpy()) < 0.01
    assert off_by(colors, next(iter(signed.values())).numpy()) < 0.01


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_a_litert_file_gives_the_colors_in_its_interpreter(
    version: ModelVersion, squares: np.ndarray, colors: np.ndarray, tmp_path: Path
) -> None:
    """With TensorFlow's built-in operations only, for any number of squares."""
    exported = export_version(version, "litert", tmp_path / "colors.tflite", SIDE)
    interpreter = tf.lite.Interpreter(str(tmp_path / "colors.tflite"))
    operations = {one["op_name"] for one in interpreter._get_ops_details()}
    (given,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], squares.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], squares)
    interpreter.invoke()

    assert exported.difference < 0.05
    assert off_by(colors, interpreter.get_tensor(gives["index"])) < 0.05
    assert not {name for name in operations if name.startswith("Flex")}


@pytest.mark.slow
def test_an_onnx_file_gives_the_colors_in_its_runtime(
    version: ModelVersion, squares: np.ndarray, colors: np.ndarray, tmp_path: Path
) -> None:
    """For any number of squares, with no input but the lightness."""
    onnxruntime = pytest.importorskip("onnxruntime")
    exported = export_version(version, "onnx", tmp_path / "colors.onnx", SIDE)
    session = onnxruntime.InferenceSession(
        tmp_path / "colors.onnx", providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    (actual,) = session.run(None, {given.name: squares})

    assert exported.difference < 0.05
    assert off_by(colors, actual) < 0.05


def test_an_export_that_differs_is_refused(
    version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gives other colors than the generator is not left lying there."""
    suffix, write, read = FORMATS["keras"]
    for change in (2 * TOLERANCE, np.nan):
        wrong = (suffix, write, lambda path, some, by=change: read(path, some) + by)
        monkeypatch.setitem(export.FORMATS, "keras", wrong)

        with pytest.raises(ModelError, match="cannot be converted to keras"):
            export_version(version, "keras", tmp_path / "colors.keras", SIDE)
        assert [] == list(tmp_path.iterdir())


def test_an_altered_version_is_not_exported(version: ModelVersion, tmp_path: Path) -> None:
    """Its card does not vouch for it."""
    shutil.copytree(version.folder, tmp_path / "0001")
    (tmp_path / "0001" / GENERATOR_FILE).write_bytes(b"else")

    with pytest.raises(ModelError, match="SHA-256"):
        export_version(
            ModelVersion("1", tmp_path / "0001", version.card), "keras", tmp_path / "x.keras", SIDE
        )


@pytest.mark.parametrize(
    ("kind", "name", "side", "words"),
    [
        ("keras", "taken.keras", SIDE, "already exists"),
        ("savedmodel", "taken.keras", SIDE, "already exists"),
        ("keras", "colors.h5", SIDE, r"end in \.keras; colors\.h5 does not"),
        ("litert", "colors.onnx", SIDE, r"end in \.tflite"),
        ("onnx", "colors", SIDE, r"end in \.onnx"),
        ("savedmodel", "colors", 100, "a multiple of 32, not 100"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(
    tmp_path: Path, kind: str, name: str, side: int, words: str
) -> None:
    """With what is wrong; nothing is overwritten."""
    (tmp_path / "taken.keras").write_text("mine")
    nowhere = ModelVersion("1", tmp_path / "nowhere", {})
    with pytest.raises(ModelError, match=words):
        export_version(nowhere, kind, tmp_path / name, side)

    assert ["mine"] == [path.read_text() for path in tmp_path.iterdir()]


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to install it."""
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "tf2onnx" else name)
    nowhere = ModelVersion("1", tmp_path / "nowhere", {})

    with pytest.raises(DeviceError, match=r"needs tf2onnx: pip install 'photochrom\[onnx\]'"):
        export_version(nowhere, "onnx", tmp_path / "colors.onnx", SIDE)
