"""Exports a generator for other programs, and verifies what was written.

The exported model goes from lightness to ab, decoding included, and runs without photochrom.
"""

import shutil
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from worker.color.cielab import Floats
from worker.errors import DeviceError, ModelError
from worker.models.decoding import CHROMA_STRIDE, color_grid, decode, gain_of
from worker.models.generator import SIZE_MULTIPLE
from worker.models.serialization import load_generator
from worker.models.version import ModelVersion

# Largest accepted difference in CIE ab units, invisible in 8 bits. Formats differ by 0.001; a GPU
# that computes in TF32 by about 0.1.
TOLERANCE = 0.5
ONNX_PARTS = ("tf2onnx", "onnx", "onnxruntime")
ONNX_OPSET = 18


class Exported(NamedTuple):
    """What was written.

    Attributes:
        inputs: name and shape of the model's input.
        outputs: name and shape of its output.
        difference: largest difference from the generator on two test images, ab units.
    """

    inputs: str
    outputs: str
    difference: float


def export_version(version: ModelVersion, kind: str, to: Path, side: int) -> Exported:
    """Write a generator with its decoding in another format, and compare its output.

    Args:
        version: of the generator.
        kind: keras, savedmodel, onnx or litert.
        to: file (folder for savedmodel) to create.
        side: of the square input, pixels; the keras format accepts any. The batch size is free.

    Raises:
        ModelError: the version cannot be loaded, `to` exists or has the wrong suffix, the side is
            not a multiple of 32, or the output differs (nothing is written then).
        DeviceError: a library that the format needs is not installed.
        OSError: the disk failed.
    """
    suffix, write, read = FORMATS[kind]
    _check_arguments(kind, to, suffix, side)
    generator = load_generator(version)
    squares = _test_squares(side)
    expected = _array(decode(generator(squares, training=False), gain_of(generator))[0])
    with TemporaryDirectory(prefix=".exporting-", dir=to.absolute().parent) as scratch:
        made = Path(scratch) / f"made{suffix}"
        write(_coloring_model(generator, None if kind == "keras" else side), made)
        difference = float(np.abs(read(made, squares) - expected).max())
        if not difference <= TOLERANCE:  # also if it is NaN
            raise ModelError(
                f"version {version.name} cannot be converted to {kind}: the output differs by "
                f"{difference:.2g} ab units; choose another format"
            )
        shutil.move(made, to)
    shape = "S, S" if kind == "keras" else f"{side}, {side}"
    small = "S/4, S/4" if kind == "keras" else f"{side // CHROMA_STRIDE}, {side // CHROMA_STRIDE}"
    return Exported(f"lightness (N, {shape}, 1)", f"ab (N, {small}, 2)", difference)


def _check_arguments(kind: str, to: Path, suffix: str, side: int) -> None:
    if to.exists():
        raise ModelError(f"{to} already exists; choose another name")
    if to.suffix != suffix and suffix:
        raise ModelError(f"the name of a {kind} model must end in {suffix}; {to.name} does not")
    if side % SIZE_MULTIPLE:
        raise ModelError(f"the size must be a multiple of {SIZE_MULTIPLE}, not {side}")
    missing = [name for name in ONNX_PARTS if kind == "onnx" and find_spec(name) is None]
    if missing:
        raise DeviceError(
            f"exporting to ONNX needs {' and '.join(missing)}: pip install 'photochrom[onnx]'"
        )


def _test_squares(side: int) -> Floats:
    """Return two images that get many colors: waves and noise, (2, side, side, 1)."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    waves = 0.5 + 0.5 * np.sin(x / 7) * np.cos(y / 11)
    noise = np.random.default_rng(0).random((side, side), np.float32)
    return np.stack([waves, noise])[..., None].astype(np.float32)


def _coloring_model(generator: keras.Model, side: int | None) -> keras.Model:
    """Join generator and `worker.models.decoding.decode` into one model of plain layers.

    Returns:
        a model from lightness (N, S, S, 1) in 0..1 to ab (N, S/4, S/4, 2) in CIE units.
    """
    lightness = keras.Input((side, side, 1), name="lightness")
    share = layers.Softmax(name="share")(generator(lightness, training=False))
    mean = layers.Conv2D(2, 1, use_bias=False, name="ab")  # of the grid's colors, weighted by share
    model = keras.Model(lightness, mean(share), name="colors")
    mean.set_weights([gain_of(generator) * color_grid()[None, None]])
    return model


def _array(tensor: tf.Tensor) -> Floats:
    return np.asarray(tensor.numpy(), np.float32)


def _write_keras(model: keras.Model, path: Path) -> None:
    model.save(path)


def _run_keras(path: Path, squares: Floats) -> Floats:
    model = keras.models.load_model(path, compile=False, safe_mode=True)
    return _array(model(squares, training=False))


def _write_savedmodel(model: keras.Model, path: Path) -> None:
    model.export(path, format="tf_saved_model", verbose=False)


def _run_savedmodel(path: Path, squares: Floats) -> Floats:
    loaded = tf.saved_model.load(path)  # keep the reference: its variables are freed with it
    return _array(loaded.serve(squares))


def _write_litert(model: keras.Model, path: Path) -> None:
    model.export(path, format="litert", verbose=False)


def _run_litert(path: Path, squares: Floats) -> Floats:
    with warnings.catch_warnings():  # it is to become a package of its own
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated.*")
        interpreter = tf.lite.Interpreter(str(path))
    (given,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], squares.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], squares)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(gives["index"]))


def _write_onnx(model: keras.Model, path: Path) -> None:
    """Freeze the graph first, or tf2onnx 1.17 loses the constants of Normalization layers."""
    import tf2onnx
    from tensorflow.python.framework import convert_to_constants

    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="lightness")
    traced = tf.function(lambda lightness: model(lightness, training=False))
    frozen = convert_to_constants.convert_variables_to_constants_v2(
        traced.get_concrete_function(signature)
    )
    tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[frozen.inputs[0].name],
        output_names=[frozen.outputs[0].name],
        opset=ONNX_OPSET,
        output_path=str(path),
    )


def _run_onnx(path: Path, squares: Floats) -> Floats:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: squares})[0])


FORMATS: dict[str, tuple[str, Callable[[Any, Path], None], Callable[[Path, Floats], Floats]]] = {
    "keras": (".keras", _write_keras, _run_keras),
    "savedmodel": ("", _write_savedmodel, _run_savedmodel),
    "onnx": (".onnx", _write_onnx, _run_onnx),
    "litert": (".tflite", _write_litert, _run_litert),
}
