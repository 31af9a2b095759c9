"""Processor time from /proc: of a process, of what this one started, of the whole machine."""

import os
import resource
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")  # of /proc/stat


def seconds_of(pid: int) -> float:
    """Return the processor seconds that a running process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def running_children() -> list[int]:
    """Return the process ids of this process's children that still run."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def seconds_of_ended() -> float:
    """Return the processor seconds of this process's children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds_of_own() -> float:
    """Return the processor seconds of this process and of its children that have ended."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime + seconds_of_ended()


def seconds_of_machine() -> float:
    """Return the seconds in which its cores were busy since it started, or lent elsewhere."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    ticks = dict(zip(FIELDS, map(int, first), strict=False))  # guests are in user and nice
    return sum(ticks[name] for name in BUSY) / TICKS


def model() -> str:
    """Return the processor's name, as it gives it itself."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")),
        os.uname().machine,
    )
