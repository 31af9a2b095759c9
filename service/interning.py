"""Keeps pathlib from interning names of files.

Python 3.12 never frees an interned string, so each photograph would leave 1 KB of names for as long
as the process lives. Python 3.11 frees them, but rebuilds its table of 4 MB every 10,000
photographs. From 3.13 on there is nothing to do.
"""

import pathlib
import sys
from types import ModuleType
from typing import Any


def keep_no_names() -> None:
    """Have pathlib intern nothing from now on."""
    if hasattr(pathlib, "sys"):
        pathlib.sys = _SysWithoutIntern("sys")


class _SysWithoutIntern(ModuleType):
    """The module `sys`, but strings are not interned."""

    intern = staticmethod(str)

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)
