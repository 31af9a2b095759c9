"""What `photochrom install` writes, under a real systemd with its whole sandbox.

systemd-nspawn (package systemd-container, as root) boots this machine's /usr with an empty /etc.
"""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.command import PHOTOCHROM
from tests.images import gray_scene, save

SOURCE = Path(__file__).resolve().parents[2]
CONFIG = """
inbox: /srv/photos/inbox
outbox: /srv/photos/outbox
originals: {folder: /srv/photos/originals}
rejected: /srv/photos/rejected
state: /srv/photos/state
model: {render_size: 64}
watch: {settle: 0.3}
"""
IN_HASTE = f"""
[Service]
Environment="PYTHONPATH={SOURCE}" PYTHONDONTWRITEBYTECODE=1
WatchdogSec=8
RestartSec=1
"""
TARGET = """
[Unit]
Requires=basic.target
Wants=photochrom.service story.service
"""
STORY_UNIT = """
[Unit]
After=basic.target
[Service]
Type=oneshot
StandardOutput=file:/var/story
StandardError=inherit
ExecStart=/bin/bash /var/story.sh
ExecStopPost=systemctl --no-block poweroff
"""
STORY = """
until_() { for _ in $(seq 300); do "$@" && return; sleep 0.1; done; echo "in vain: $*"; exit 1; }
shown() { systemctl show -P "$1" photochrom; }
active() { [ "$(shown ActiveState)" = active ]; }
restarted() { [ "$(shown NRestarts)" = "$1" ] && active; }

until_ active
echo "user $(stat -c %U /proc/$(shown MainPID))"
grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/$(shown MainPID)/status | tr -s '\\t' ' '
cp /var/a.tif /srv/photos/inbox/.a && mv /srv/photos/inbox/.a /srv/photos/inbox/a.tif
until_ test -e /srv/photos/originals/a.tif
until_ test -e /srv/photos/outbox/a.tif.json
echo "result of $(stat -c %U:%G /srv/photos/outbox/a.tif)"
sleep 10  # longer than the watchdog waits
echo "restarts while it works: $(shown NRestarts)"
kill -STOP $(shown MainPID)
until_ restarted 1
echo "restarts after it hung: $(shown NRestarts)"
kill -KILL $(shown MainPID)
until_ restarted 2
echo "restarts after it was killed: $(shown NRestarts)"
systemctl stop photochrom
echo "end: $(shown ActiveState) $(shown Result) $(shown ExecMainStatus)"
"""
NOT_WANTED = ("firstboot", "networkd", "resolved", "timesyncd")


def machine(root: Path) -> None:
    """Make the root of a machine that has nothing but the service and the story."""
    for name in ("etc/systemd/system", "etc/photochrom", "var", "usr", "run", "proc", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "etc/machine-id").write_text(f"{secrets.token_hex(16)}\n")
    (root / "etc/photochrom/config.yaml").write_text(CONFIG)
    shutil.copy("/etc/os-release", root / "etc/os-release")
    save(root / "var/a.tif", gray_scene(64, 80))
    (root / "var/story.sh").write_text(STORY)
    units = root / "etc/systemd/system"
    for name in NOT_WANTED:
        (units / f"systemd-{name}.service").symlink_to("/dev/null")
    (units / "story.target").write_text(TARGET)
    (units / "story.service").write_text(STORY_UNIT)
    subprocess.run(
        [PHOTOCHROM, "install", "--prefix", root, "--config", root / "etc/photochrom/config.yaml"],
        check=True,
        capture_output=True,
    )
    unit = units / "photochrom.service"
    unit.write_text(unit.read_text().replace(f"{root}/etc", "/etc"))
    (units / "photochrom.service.d").mkdir()
    (units / "photochrom.service.d/haste.conf").write_text(IN_HASTE)


@pytest.mark.slow
@pytest.mark.systemd
def test_the_service_lives_in_its_sandbox(tmp_path: Path) -> None:
    """It starts, colors, is fed, is restarted when it hangs and when it is killed, and stops."""
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        pytest.skip("needs root and systemd-nspawn (package systemd-container)")
    root = tmp_path / "root"
    machine(root)
    parts = {SOURCE, Path(sys.prefix), Path(sys.base_prefix)}
    binds = [part for part in parts if not part.is_relative_to("/usr")]
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
    assert [
        "user photochrom",
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
        "result of photochrom:photochrom",
        "restarts while it works: 0",
        "restarts after it hung: 1",
        "restarts after it was killed: 2",
        "end: inactive success 0",
    ] == story.read_text().splitlines()
