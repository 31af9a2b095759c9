"""Pure: config.yaml -> the texts of systemd's files, from the templates in service/systemd/.

What the service may write is what the configuration names, and nothing else. Refuses paths that
systemd's files cannot hold.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template
from typing import Literal, NamedTuple

from service.config.loader import Config
from worker.errors import DeviceError

UNIT = Path("etc/systemd/system/photochrom.service")
GPU = Path("etc/systemd/system/photochrom.service.d/gpu.conf")
TRAIN = Path("etc/systemd/system/photochrom-train.service")
TRAIN_GPU = Path("etc/systemd/system/photochrom-train.service.d/gpu.conf")
TIMER = Path("etc/systemd/system/photochrom-train.timer")
USERS = Path("etc/sysusers.d/photochrom.conf")
FOLDERS = Path("etc/tmpfiles.d/photochrom.conf")
FILES = (UNIT, GPU, TRAIN, TRAIN_GPU, TIMER, USERS, FOLDERS)  # below the root

OURS = "photochrom"  # user and group
STOP_MARGIN = 60.0  # seconds from the end of the stop time to the kill
WATCHDOG = 300.0  # seconds without a sign of life, beside the stop time; a large file takes some
HOMES = ("/home", "/root", "/run/user")
# Too much to open for writing, only so that originals are moved and not copied.
SHARED = {
    *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/proc", "/root"),
    *("/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/tmp"),  # noqa: S108
}

Network = Literal["none", "this machine", "any"]
_NETWORKS: dict[Network, dict[str, str]] = {
    "none": {"no_network": "yes", "ip_deny": "any", "ip_allow": "", "families": "AF_UNIX"},
    "this machine": {
        "no_network": "no",
        "ip_deny": "any",
        "ip_allow": "localhost",
        "families": "AF_UNIX AF_INET AF_INET6",
    },
    "any": {
        "no_network": "no",
        "ip_deny": "",
        "ip_allow": "",
        "families": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",  # the last to find out addresses
    },
}

_TEMPLATES = Path(__file__).parent


class Program(NamedTuple):
    """Where photochrom itself is.

    Attributes:
        command: its command, in the environment it was installed into.
        parts: the folders of the environment, its Python and the packages.
        config: the configuration it is to read.
    """

    command: Path
    parts: tuple[Path, ...]
    config: Path


def render(config: Config, program: Program, *, gpu: bool) -> dict[Path, str]:
    """Write the files.

    Args:
        config: with absolute folders.
        program: what the service starts.
        gpu: whether it may use an NVIDIA card.

    Returns:
        Their texts, by their paths below the root.

    Raises:
        DeviceError: a path has control characters, or is not UTF-8.
    """
    files = {
        UNIT: _service(config, program),
        TRAIN: _training(config, program),
        TIMER: _template("photochrom-train.timer"),
        USERS: _template("sysusers.conf"),
        FOLDERS: _template("tmpfiles.conf") + "".join(_folders(config)),
    }
    card = _template("gpu.conf")
    return {**files, GPU: card, TRAIN_GPU: card} if gpu else files


def _folders(config: Config) -> Iterator[str]:
    """Yield the lines that make the folders; modes with a colon are those of new ones only."""
    shown = int(config.permissions.folders or "750", 8) & 0o777 | 0o2000
    group = config.permissions.group or OURS
    for key, path in config.folders.items():
        if key == "state":  # whoever may write there could take the ledger away
            yield f"d {quoted(path)} 0700 photochrom photochrom\n"
        else:
            mode = 0o2770 if key == "inbox" else shown
            yield f"d {quoted(path)} :{mode:o} :photochrom :{group}\n"


def _service(config: Config, program: Program) -> str:
    protected = (program.config, *program.parts, *_credentials(config))
    used = (*config.folders.values(), *_textfiles(config), *protected)
    values = {
        "config": quoted(program.config),
        "command": _command(program, "run"),
        "mounts": _listed(used),
        "watchdog": f"{config.stop.within + WATCHDOG:.0f}",
        "stop": f"{config.stop.within + STOP_MARGIN:.0f}",
        "sandbox": _sandbox(
            used,
            writable_paths(config),
            protected,
            network=_network(config),
            group=config.permissions.group or OURS,
            leases=True,
        ),
    }
    return Template(_template("photochrom.service")).substitute(values)


def _training(config: Config, program: Program) -> str:
    protected = (program.config, *program.parts, *_photographs(config))
    used = (config.state, *protected)
    values = {
        "config": quoted(program.config),
        "command": _command(program, "train", "--scheduled"),
        "mounts": _listed(used),
        "sandbox": _sandbox(used, [config.state], protected, network="none"),
    }
    return Template(_template("photochrom-train.service")).substitute(values)


def _sandbox(
    used: Iterable[Path],
    writable: list[Path],
    protected: Iterable[Path],
    *,
    network: Network,
    group: str = OURS,
    leases: bool = False,
) -> str:
    """Write the lines that both services have: who they are, and what they may touch.

    Args:
        used: all paths it needs.
        writable: those it may write.
        protected: those it may not, though they may lie in one of these.
        network: what it may use of it.
        group: of what it makes.
        leases: whether it may ask the kernel who has another user's file open for writing. That
            right counts in the system's own world of users only.
    """
    values = {
        "capabilities": "CAP_LEASE" if leases else "",
        "private_users": "no" if leases else "yes",
        "writable": _listed(writable),
        "readonly": _listed(path for path in protected if _below(path, writable)),
        "homes": "read-only" if any(_below(path, HOMES) for path in used) else "yes",
        "group": group,
        **_NETWORKS[network],
    }
    return Template(_template("sandbox.conf")).substitute(values).rstrip()


def _command(program: Program, *words: str) -> str:
    line = [quoted(program.command), *words, "--config", quoted(program.config)]
    return " ".join(line).replace("$", "$$")


def writable_paths(config: Config) -> list[Path]:
    """List what the service may write, none below another.

    Each of them is a mount of its own to the service, and nothing is renamed from one to another.
    So the folders between which originals are moved are opened by what holds them all, if that
    holds little else.
    """
    paths = [path for key, path in config.folders.items() if key != "inbox"]
    paths += _textfiles(config)
    if config.originals.after == "move":
        paths.append(config.inbox)
        if home := home_of_moves(config):
            paths.append(home)
    return sorted(path for path in set(paths) if not _below(path.parent, paths))


def home_of_moves(config: Config) -> Path | None:
    """Return what holds the inbox, the originals and the rejected; None if it holds much else."""
    moves = (config.inbox, config.originals.folder, config.rejected)
    home = Path(os.path.commonpath(moves))
    too_much = str(home) in {"/", *SHARED} or str(home.parent) == "/home"
    return None if too_much else home


def notes(config: Config, program: Program) -> Iterator[str]:
    """Yield, in words for people, what of a configuration does not suit a service."""
    used = (*config.folders.values(), *_textfiles(config), program.config, *program.parts)
    for path in dict.fromkeys(used):
        if _below(path, ("/tmp", "/var/tmp")):  # noqa: S108
            yield f"{path} is in a folder for temporary files, of which the service has its own"
    if config.originals.after == "move" and home_of_moves(config) is None:
        yield (
            "originals will be moved by copying them, since inbox, originals and rejected have no"
            " folder of their own in common"
        )


def quoted(path: Path) -> str:
    """Write a path as a word of systemd's files.

    Raises:
        DeviceError: they cannot hold it.
    """
    text = str(path)
    if not text.isprintable():  # what is not UTF-8 is not printable either
        raise DeviceError(f"{text!a} has characters that systemd's files cannot hold")
    for sign, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        text = text.replace(sign, written)
    return f'"{text}"'


def _network(config: Config) -> Network:
    """Say what the daemon needs of the network: nothing, unless it is set otherwise."""
    if config.credentials.timestamp is not None:
        return "any"
    return "this machine" if config.metrics.listen is not None else "none"


def _textfiles(config: Config) -> list[Path]:
    """Return the folder that metrics are written to, if they are."""
    return [] if config.metrics.textfile is None else [config.metrics.textfile.parent]


def _photographs(config: Config) -> list[Path]:
    """List what a training reads."""
    reference = config.training.reference
    return [*config.training.collections, *([reference] if reference else [])]


def _credentials(config: Config) -> list[Path]:
    given = config.credentials
    return [path for path in (given.certificate, given.key) if path is not None]


def _listed(paths: Iterable[Path]) -> str:
    return " ".join(quoted(path) for path in dict.fromkeys(paths))


def _below(path: Path, folders: Iterable[Path | str]) -> bool:
    """Tell whether a path is one of the folders or in one."""
    return any(path.is_relative_to(folder) for folder in folders)


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text()
