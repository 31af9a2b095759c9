"""Config -> the contents of the systemd unit files, from the templates in this folder.

The service may write to the folders in config.yaml and nowhere else. Refuses paths that unit files
cannot express.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template
from typing import Literal, NamedTuple

from service.config.addresses import is_loopback
from service.config.loader import Config
from service.storage import held
from worker.errors import DeviceError

UNIT = Path("etc/systemd/system/photochrom.service")
GPU = Path("etc/systemd/system/photochrom.service.d/gpu.conf")
TRAIN = Path("etc/systemd/system/photochrom-train.service")
CLUSTER = Path("etc/systemd/system/photochrom.service.d/cluster.conf")
TRAIN_GPU = Path("etc/systemd/system/photochrom-train.service.d/gpu.conf")
TIMER = Path("etc/systemd/system/photochrom-train.timer")
WEB = Path("etc/systemd/system/photochrom-web.service")
USERS = Path("etc/sysusers.d/photochrom.conf")
FOLDERS = Path("etc/tmpfiles.d/photochrom.conf")
FILES = (UNIT, GPU, CLUSTER, TRAIN, TRAIN_GPU, TIMER, WEB, USERS, FOLDERS)  # below the root

OURS = "photochrom"  # user and group
STOP_MARGIN = 60.0  # seconds from the end of stop.within to the kill
WATCHDOG = 300.0  # seconds without a ping, plus stop.within; a large file takes some
HOMES = ("/home", "/root", "/run/user")
# Too broad to make writable just so that originals are renamed, not copied.
SHARED = {
    *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/proc", "/root"),
    *("/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/tmp"),  # noqa: S108
}

Network = Literal["none", "this machine", "served", "any"]
_NETWORKS: dict[Network, dict[str, str]] = {
    "none": {"no_network": "yes", "ip_deny": "any", "ip_allow": "", "families": "AF_UNIX"},
    "this machine": {
        "no_network": "no",
        "ip_deny": "any",
        "ip_allow": "localhost",
        "families": "AF_UNIX AF_INET AF_INET6",
    },
    "served": {
        "no_network": "no",
        "ip_deny": "",
        "ip_allow": "",
        "families": "AF_UNIX AF_INET AF_INET6",
    },
    "any": {
        "no_network": "no",
        "ip_deny": "",
        "ip_allow": "",
        "families": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",  # netlink: to look up addresses
    },
}

_TEMPLATES = Path(__file__).parent


class Program(NamedTuple):
    """The installed photochrom.

    Attributes:
        command: the executable, in its virtual environment.
        parts: the folders of the environment, its Python and the packages.
        config: the configuration file of the service.
    """

    command: Path
    parts: tuple[Path, ...]
    config: Path


def render(config: Config, program: Program, *, gpu: bool) -> dict[Path, str]:
    """Render the unit files.

    Args:
        config: with absolute folders.
        program: what the service starts.
        gpu: whether the service may use NVIDIA GPUs.

    Returns:
        The contents, by path below the root.

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
    if config.web.listen is not None:
        files[WEB] = _page(config, program)
    if config.engine.kind == "ray":
        files[CLUSTER] = _template("cluster.conf")
    card = _template("gpu.conf")
    return {**files, GPU: card, TRAIN_GPU: card} if gpu else files


def _folders(config: Config) -> Iterator[str]:
    """Yield the lines that create the folders; a mode after a colon is for new folders only."""
    shown = int(config.permissions.folders or "750", 8) & 0o777 | 0o2000
    group = config.permissions.group or OURS
    for key, path in config.folders.items():
        if key == "state":  # write access would allow deleting the ledger
            yield f"d {quoted(path)} 0700 photochrom photochrom\n"
        else:
            mode = 0o2770 if key == "inbox" else shown
            yield f"d {quoted(path)} :{mode:o} :photochrom :{group}\n"


def _service(config: Config, program: Program) -> str:
    secrets = (*_credentials(config), *([config.engine.token] if config.engine.token else []))
    protected = (program.config, *program.parts, *secrets)
    used = (*config.folders.values(), *_still_held(config), *_textfiles(config), *protected)
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


def _page(config: Config, program: Program) -> str:
    """Render the unit of the review page, which may neither change originals nor results."""
    protected = (program.config, *program.parts)
    folders = config.folders
    changed = [config.state, config.rejected]
    if config.originals.after == "move":  # uploads arrive, and rejected scans come back
        home = home_of_moves(config)
        changed += [config.inbox, *([home] if home else [])]
    kept = [folder for folder in folders.values() if folder not in changed]
    used = (*folders.values(), *protected)
    values = {
        "config": quoted(program.config),
        "command": _command(program, "web"),
        "mounts": _listed(used),
        "sandbox": _sandbox(
            used,
            _outermost(changed),
            (*protected, *kept),
            network="this machine" if is_loopback(str(config.web.listen)) else "served",
            group=config.permissions.group or OURS,
        ),
    }
    return Template(_template("photochrom-web.service")).substitute(values)


def _sandbox(
    used: Iterable[Path],
    writable: list[Path],
    protected: Iterable[Path],
    *,
    network: Network,
    group: str = OURS,
    leases: bool = False,
) -> str:
    """Render the settings that the services share: user, sandbox and resources.

    Args:
        used: all paths the service needs.
        writable: those it may write.
        protected: those it may not write, even if they are inside a writable one.
        network: what it may connect to.
        group: of the files it creates.
        leases: whether it may take leases on other users' files, to see whether someone has them
            open for writing. Excludes a user namespace, where that capability has no effect.
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
    """List the paths that the service may write, none below another.

    systemd makes each a mount point of its own, and files cannot be renamed across mounts. So the
    folders that originals move between are covered by their common parent, if it is a narrow one.
    """
    paths = [path for key, path in config.folders.items() if key != "inbox"]
    paths += [*_still_held(config), *_textfiles(config)]
    if config.originals.after == "move":
        paths.append(config.inbox)
        if home := home_of_moves(config):
            paths.append(home)
    return _outermost(paths)


def _outermost(paths: list[Path]) -> list[Path]:
    """Return the paths that are in none of the others, sorted."""
    return sorted(path for path in set(paths) if not _below(path.parent, paths))


def home_of_moves(config: Config) -> Path | None:
    """Return the common parent of inbox, originals and rejected; None if it is too broad."""
    moves = (config.inbox, config.originals.folder, config.rejected)
    home = Path(os.path.commonpath(moves))
    too_much = str(home) in {"/", *SHARED} or str(home.parent) == "/home"
    return None if too_much else home


def notes(config: Config, program: Program) -> Iterator[str]:
    """Yield a message for each setting that does not suit a service."""
    used = (*config.folders.values(), *_textfiles(config), program.config, *program.parts)
    for path in dict.fromkeys(used):
        if _below(path, ("/tmp", "/var/tmp")):  # noqa: S108
            yield f"{path} is invisible to the service, which has a private /tmp and /var/tmp"
    if config.originals.after == "move" and home_of_moves(config) is None:
        yield (
            "originals will be copied instead of renamed: give inbox, originals and rejected a"
            " common parent folder that holds little else"
        )


def quoted(path: Path) -> str:
    """Quote a path for a unit file.

    Raises:
        DeviceError: unit files cannot express it.
    """
    text = str(path)
    if not text.isprintable():  # nor is a name that is not UTF-8
        raise DeviceError(f"{text!a} contains characters that systemd unit files cannot express")
    for sign, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%")):
        text = text.replace(sign, written)
    return f'"{text}"'


def _network(config: Config) -> Network:
    """Return what the daemon connects to: nothing, by default."""
    if config.credentials.timestamp is not None:
        return "any"
    return "this machine" if config.metrics.listen is not None else "none"


def _still_held(config: Config) -> list[Path]:
    """Return the folder of results that are held since it was so configured."""
    return [config.review.folder] if held.is_used(config) and not config.review.may_hold else []


def _textfiles(config: Config) -> list[Path]:
    """Return the folder of the metrics file, if there is one."""
    return [] if config.metrics.textfile is None else [config.metrics.textfile.parent]


def _photographs(config: Config) -> list[Path]:
    """List the folders that training reads."""
    training = config.training
    return [*training.collections, *filter(None, (training.reference, training.scans))]


def _credentials(config: Config) -> list[Path]:
    given = config.credentials
    return [path for path in (given.certificate, given.key) if path is not None]


def _listed(paths: Iterable[Path]) -> str:
    return " ".join(quoted(path) for path in dict.fromkeys(paths))


def _below(path: Path, folders: Iterable[Path | str]) -> bool:
    """Tell whether a path is one of the folders or inside one."""
    return any(path.is_relative_to(folder) for folder in folders)


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text()
