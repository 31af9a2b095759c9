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
from tests.images import color_scene, gray_scene, save

SOURCE = Path(__file__).resolve().parents[2]
PARTS = {SOURCE, Path(sys.prefix), Path(sys.base_prefix)}
# The service has an empty /tmp of its own; a clone that is tested there has to be let in.
LET_IN = " ".join(str(part) for part in PARTS if {"/tmp", "/var/tmp"} & {*map(str, part.parents)})  # noqa: S108
CONFIG = """
inbox: /srv/photos/inbox
outbox: /srv/photos/outbox
originals: {folder: /srv/photos/originals}
rejected: /srv/photos/rejected
state: /srv/photos/state
model: {render_size: 64}
watch: {settle: 0.3, arriving: 0}
training: {crop: 32, batch: 2, validation_share: 0.3, minutes: 30.0, collections: [/srv/color]}
"""
FROM_HERE = f"""
[Service]
Environment="PYTHONPATH={SOURCE}" PYTHONDONTWRITEBYTECODE=1
BindReadOnlyPaths={LET_IN}
"""
IN_HASTE = f"""
{FROM_HERE}
WatchdogSec=15
RestartSec=1
"""
WITH_OTHERS = f"""
{FROM_HERE}
# The machine that tests may be busy, and leave nothing for what is idle.
Nice=0
CPUSchedulingPolicy=other
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
STORY = r"""
in_vain() { echo "in vain: $*"; journalctl -u "photochrom*" -o cat | tail -n 8; exit 1; }
until_() { for _ in $(seq 600); do "$@" && return; sleep 0.1; done; in_vain "$@"; }
shown() { systemctl show -P "$1" photochrom; }
active() { [ "$(shown ActiveState)" = active ]; }
restarted() { [ "$(shown NRestarts)" = "$1" ] && active; }

told() { journalctl -u "$1" -o cat | grep -q "$2"; }
in_time() { local end=$((SECONDS + $1)); shift; "$@"; [ $SECONDS -le $end ] && echo "in time: $*"; }
# Does what is printed as left to do.
follow() { sed '1,/as root/d' | sh -ex >> /var/said 2>&1 || echo "it failed: $(tail /var/said)"; }

"$PHOTOCHROM" install --config /etc/photochrom/config.yaml | follow
until_ active
echo "user $(stat -c %U /proc/$(shown MainPID))"
grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/$(shown MainPID)/status | tr -s '\t' ' '
cp /var/a.tif /srv/photos/inbox/.a && mv /srv/photos/inbox/.a /srv/photos/inbox/a.tif
until_ test -e /srv/photos/originals/a.tif
until_ test -e /srv/photos/outbox/a.tif.json
echo "result of $(stat -c %U:%G /srv/photos/outbox/a.tif)"

main=$(shown MainPID)
echo 'nonsense: 1' >> /etc/photochrom/config.yaml
systemctl reload photochrom
until_ told photochrom config.refused
sed -i 's/^nonsense.*/log: {level: debug}/' /etc/photochrom/config.yaml
systemctl reload photochrom
until_ told photochrom 'log.level.*config.reloaded'
cp /var/a.tif /srv/photos/inbox/.b && mv /srv/photos/inbox/.b /srv/photos/inbox/b.tif
until_ test -e /srv/photos/outbox/b.tif.json
echo "reloaded, the same process: $([ $main = $(shown MainPID) ] && active && echo yes)"

sleep 17  # longer than the watchdog waits
echo "restarts while it works: $(shown NRestarts)"
kill -STOP $(shown MainPID)
until_ restarted 1
echo "restarts after it hung: $(shown NRestarts)"
kill -KILL $(shown MainPID)
until_ restarted 2
echo "restarts after it was killed: $(shown NRestarts)"
in_time 20 systemctl stop photochrom
echo "end: $(shown ActiveState) $(shown Result) $(shown ExecMainStatus)"

echo "timers: $(systemctl list-timers --no-legend 'photochrom*' | grep -o '[a-z-]*[.]service')"
systemctl start photochrom-train
until_ test -e /srv/photos/state/training/checkpoint.npz
in_time 60 systemctl stop photochrom-train.service 2> /dev/null
until_ told photochrom-train training.stopped
echo "training: $(systemctl show -P Result photochrom-train)"

"$PHOTOCHROM" uninstall | follow
find /etc/systemd/system -name 'photochrom*' -not -name '*.d'
echo "left: $(systemctl list-unit-files --no-legend 'photochrom*' | wc -l)"
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
    (root / "srv/color").mkdir(parents=True)
    for number in range(8):
        save(root / "srv/color" / f"{number}.jpg", color_scene(120, 160, seed=number))
    (root / "var/story.sh").write_text(STORY)
    units = root / "etc/systemd/system"
    for name in NOT_WANTED:
        (units / f"systemd-{name}.service").symlink_to("/dev/null")
    (units / "story.target").write_text(TARGET)
    (units / "story.service").write_text(STORY_UNIT)
    for name, text in (("photochrom", IN_HASTE), ("photochrom-train", WITH_OTHERS)):
        (units / f"{name}.service.d").mkdir()
        (units / f"{name}.service.d/test.conf").write_text(text)


@pytest.mark.slow
@pytest.mark.systemd
def test_the_service_lives_in_its_sandbox(tmp_path: Path) -> None:
    """Installed, it colors, reloads, is restarted when it hangs or is killed, learns, and goes."""
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        pytest.skip("needs root and systemd-nspawn (package systemd-container)")
    may_mount = subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0
    if not may_mount or not os.access("/sys/fs/cgroup", os.W_OK):
        pytest.skip("a container may not boot a system within it")
    root = tmp_path / "root"
    machine(root)
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
    assert [
        "user photochrom",
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
        "result of photochrom:photochrom",
        "reloaded, the same process: yes",
        "restarts while it works: 0",
        "restarts after it hung: 1",
        "restarts after it was killed: 2",
        "in time: systemctl stop photochrom",
        "end: inactive success 0",
        "timers: photochrom-train.service",
        "in time: systemctl stop photochrom-train.service",
        "training: success",
        "left: 0",
    ] == story.read_text().splitlines()
