"""What must be the same on every machine, so that all give the same bytes for the same scan."""

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

LIBRARIES = (
    "photochrom",
    "ray",
    "tensorflow",
    "keras",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "imagecodecs",
    "tifffile",
    "lxml",
    "pi-heif",
    "c2pa-python",
)


def environment() -> dict[str, str]:
    """Return the versions of this process's Python and libraries; "" for one that is missing."""
    found = {"Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    found["photochrom's loop in C"] = "compiled" if find_spec("worker.color.merge_loop") else ""
    return found


def differences(here: dict[str, str], there: dict[str, str]) -> str:
    """Say in words what another machine has differently; "" if nothing."""
    said = [
        f"{name} {there.get(name) or 'missing'} there, {mine or 'missing'} here"
        for name, mine in here.items()
        if mine != there.get(name)
    ]
    return "; ".join(said)
