"""The names of the layouts; apart from these, because the command line needs no more."""

from enum import StrEnum


class LayoutName(StrEnum):
    """The layouts; each is a module beside this one."""

    PLAIN = "plain"
    ARCHIVEMATICA = "archivematica"
    ROSETTA = "rosetta"
    PRESERVICA = "preservica"
    ISLANDORA = "islandora"
