"""Loads a version and shows previews: `python -m` this MODELS VERSION SIDE PRECISION.

It answers requests on standard input as `worker.viewing.live_preview` does, and ends with its
input. The first line that it writes says that it is loaded, or with `error` why it is not.
"""

import json
import os
import resource
import sys
from pathlib import Path

from worker.errors import PhotochromError
from worker.inference.lean_imports import import_tensorflow
from worker.settings import ColorSettings
from worker.viewing import confinement

MEMORY = 3 << 30  # bytes of data; it needs 0.7 GB


def main(models: str, version: str, side: str, precision: str) -> None:
    """Load a version, then answer.

    Args:
        models: folder of versions.
        version: its name.
        side: of the square that the generator sees, pixels.
        precision: as in `ColorSettings`.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    import_tensorflow()  # before what imports it too
    from worker.inference.colorizer import Colorizer
    from worker.inference.device import Device, set_up_device
    from worker.models.store import ModelStore
    from worker.models.version import version_name
    from worker.viewing.live_preview import LivePreview, serve

    set_up_device()
    settings = ColorSettings(render_size=int(side), batch_size=1, precision=precision)
    try:
        colorizer = Colorizer(
            ModelStore(Path(models)).get(version_name(version)), settings, Device("CPU", 1, 1)
        )
    except PhotochromError as error:
        answers.write(json.dumps({"error": str(error)}).encode() + b"\n")
        answers.flush()
        return
    confinement.cut_off_network()
    answers.write(b"{}\n")
    answers.flush()
    serve(LivePreview(colorizer), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
