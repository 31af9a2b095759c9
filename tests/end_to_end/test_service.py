"""What `photochrom install` writes, under a real systemd with its whole sandbox."""

from pathlib import Path

import pytest

from tests.support.booted_systemd import FROM_HERE, boot, machine, why_not
from tests.support.synthetic_photos import color_scene, gray_scene, save

CONFIG = """
inbox: /srv/photos/inbox
outbox: /srv/photos/outbox
originals: {folder: /srv/photos/originals}
rejected: /srv/photos/rejected
state: /srv/photos/state
model: {render_size: 64}
watch: {settle: 0.3, incomplete_timeout: 0}
training: {crop: 32, batch: 2, validation_share: 0.3, minutes: 30.0, collections: [/srv/color]}
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
STORY = r"""
told() { journalctl -u "$1" -o cat | grep -q "$2"; }
in_time() { local end=$((SECONDS + $1)); shift; "$@"; [ $SECONDS -le $end ] && echo "in time: $*"; }

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


@pytest.mark.slow
@pytest.mark.systemd
def test_the_service_lives_in_its_sandbox(tmp_path: Path) -> None:
    """Installed, it colors, reloads, is restarted when it hangs or is killed, learns, and goes."""
    if reason := why_not():
        pytest.skip(reason)
    root = tmp_path / "root"
    machine(root, CONFIG, STORY, {"photochrom": IN_HASTE, "photochrom-train": WITH_OTHERS})
    save(root / "var/a.tif", gray_scene(64, 80))
    (root / "srv/color").mkdir(parents=True)
    for number in range(8):
        save(root / "srv/color" / f"{number}.jpg", color_scene(120, 160, seed=number))

    assert [
        "user photochrom",
        "CapEff: 0000000010000000",  # CAP_LEASE
        "CapBnd: 0000000010000000",
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
    ] == boot(root).splitlines()
