"""Imports TensorFlow and Keras for coloring, in half of the time that `import` takes.

Both try to import libraries for what photochrom does not do while it colors (plots, conversions,
sparse matrices), and do without those that are not installed. So they are told that these are not.
And all that an import makes stays, but the garbage collector looks through it again and again. So
the collector rests meanwhile, and leaves all of that out from then on.
"""

import gc
import importlib
import sys

# Imported by TensorFlow or Keras only if it is there, and by nothing that colors. A library that is
# no longer optional makes the import fail, and `tests/worker/inference/test_lean_imports.py` too.
NOT_NEEDED = (
    "jax",  # tensorflow.lite, to convert models
    "matplotlib",  # keras.visualization
    "pandas",  # keras.trainers, for data frames
    "scipy",  # tensorflow.python.keras, for sparse matrices
    "sklearn",  # keras.wrappers
)


def import_tensorflow() -> None:
    """Import both, unless they are; call this first.

    Whatever is imported afterwards finds every library as ever. Other threads must not import any
    that is not needed here meanwhile.
    """
    if "keras" in sys.modules:
        return
    hidden = [name for name in NOT_NEEDED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: "there is none"
    collects = gc.isenabled()
    gc.disable()
    try:
        importlib.import_module("tensorflow")
        importlib.import_module("keras")
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        if collects:
            gc.enable()
