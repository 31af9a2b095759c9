"""A systemd of its own for a test, on a machine that has nothing but photochrom and a story.

systemd-nspawn (package systemd-container, as root) boots this machine's /usr with an empty /etc.
"""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import structlog

from tests.support.command import PHOTOCHROM

SOURCE = Path(__file__).resolve().parents[2]
PACKAGES = Path(structlog.__file__).parents[1]  # mostly below sys.prefix
PARTS = {SOURCE, Path(sys.prefix), Path(sys.base_prefix)}
PARTS |= set() if PARTS & set(PACKAGES.parents) else {PACKAGES}
# The service has an empty /tmp of its own; a clone that is tested there has to be let in.
LET_IN = " ".join(str(part) for part in PARTS if {"/tmp", "/var/tmp"} & {*map(str, part.parents)})  # noqa: S108
FROM_HERE = f"""
[Service]
Environment="PYTHONPATH={SOURCE}" PYTHONDONTWRITEBYTECODE=1
BindReadOnlyPaths={LET_IN}
"""
TARGET = """
[Unit]
Requires=basic.target
Wants=story.service
"""
STORY_UNIT = f"""
[Unit]
After=basic.target
[Service]
Type=oneshot
StandardOutput=file:/var/story
StandardError=inherit
Environment="PHOTOCHROM={PHOTOCHROM}" "PYTHONPATH={SOURCE}" PYTHONDONTWRITEBYTECODE=1
ExecStart=/bin/bash /var/story.sh
ExecStopPost=/bin/sh -c "systemctl --no-block poweroff 2>/dev/null"
"""
HELPERS = r"""
in_vain() { echo "in vain: $*"; journalctl -u "photochrom*" -o cat | tail -n 8; exit 1; }
until_() { for _ in $(seq 600); do "$@" && return; sleep 0.1; done; in_vain "$@"; }
shown() { systemctl show -P "$1" photochrom; }
active() { [ "$(shown ActiveState)" = active ]; }
restarted() { [ "$(shown NRestarts)" = "$1" ] && active; }
# Does what is printed as left to do.
follow() { sed '1,/as root/d' | sh -ex >> /var/said 2>&1 || echo "it failed: $(tail /var/said)"; }
"""
NOT_WANTED = ("firstboot", "networkd", "resolved", "timesyncd")


def why_not() -> str:
    """Say why no systemd can be booted here, or ""."""
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        return "needs root and systemd-nspawn (package systemd-container)"
    may_mount = subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0
    if not may_mount or not os.access("/sys/fs/cgroup", os.W_OK):
        return "a container may not boot a system within it"
    return ""


def machine(root: Path, config: str, story: str, own: dict[str, str]) -> None:
    """Make the root of a machine.

    Args:
        root: a folder to be made.
        config: the text of its /etc/photochrom/config.yaml.
        story: what it does once it is up, in bash; what that prints is in /var/story.
        own: what is added to photochrom's units, by name.
    """
    for name in ("etc/systemd/system", "etc/photochrom", "var", "usr", "run", "proc", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "etc/machine-id").write_text(f"{secrets.token_hex(16)}\n")
    (root / "etc/photochrom/config.yaml").write_text(config)
    shutil.copy("/etc/os-release", root / "etc/os-release")
    (root / "var/story.sh").write_text(HELPERS + story)
    units = root / "etc/systemd/system"
    for name in NOT_WANTED:
        (units / f"systemd-{name}.service").symlink_to("/dev/null")
    (units / "story.target").write_text(TARGET)
    (units / "story.service").write_text(STORY_UNIT)
    for name, text in own.items():
        (units / f"{name}.service.d").mkdir()
        (units / f"{name}.service.d/test.conf").write_text(text)


def boot(root: Path) -> str:
    """Boot the machine, and return what its story printed when it is off again."""
    binds = [part for part in PARTS if not part.is_relative_to("/usr")]
    for part in binds:
        (root / part.relative_to("/")).mkdir(parents=True, exist_ok=True)
    booted = subprocess.run(
        [
            *("systemd-nspawn", "-D", root, "--register=no", "--keep-unit"),
            f"--machine=photochrom-{secrets.token_hex(4)}",
            *(f"--bind-ro={part}" for part in ("/usr", *binds)),
            *("-b", "--", "systemd.unit=story.target"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    story = root / "var/story"

    assert story.exists(), booted.stdout[-3000:] + booted.stderr[-3000:]
    return story.read_text()
