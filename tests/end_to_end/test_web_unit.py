"""The review page as `photochrom install` sets it up, under a real systemd with its sandbox."""

from pathlib import Path

import pytest

from tests.support.booted_systemd import FROM_HERE, boot, machine, why_not
from tests.support.synthetic_photos import gray_scene, save

CONFIG = """
inbox: /srv/photos/inbox
outbox: /srv/photos/outbox
originals: {folder: /srv/photos/originals}
rejected: /srv/photos/rejected
state: /srv/photos/state
model: {render_size: 64}
watch: {settle: 0.3, incomplete_timeout: 0}
web: {listen: 127.0.0.1:8420}
"""
IN_HASTE = f"""
{FROM_HERE}
RestartSec=1
"""
STORY = r"""
web() { systemctl show -P "$1" photochrom-web; }
served() { /usr/bin/curl -sf -o /dev/null http://127.0.0.1:8420/service; }
page() { /usr/bin/curl -s -b /var/jar -c /var/jar -H 'Accept: text/html' \
  "http://127.0.0.1:8420$1"; }
post() { /usr/bin/curl -s -b /var/jar -H "X-CSRF-Token: $token" -H "Content-Type: $2" \
  --data-binary "$3" -w ' %{http_code}\n' "http://127.0.0.1:8420$1"; }
inside() { nsenter -t "$(web MainPID)" -m -- "$@" 2>&1 | grep -o 'Read-only file system'; }

"$PHOTOCHROM" install --config /etc/photochrom/config.yaml | follow
until_ active
until_ served
echo "user $(stat -c %U /proc/$(web MainPID))"
grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/$(web MainPID)/status | tr -s '\t' ' '

token=$(page /service | grep -o 'csrf-token" content="[0-9a-f]*' | grep -o '[0-9a-f]*$')
echo "upload: $(post '/uploads?name=a.tif&folder=new' application/octet-stream @/var/a.tif)"
until_ test -e /srv/photos/originals/new/a.tif
until_ test -e /srv/photos/outbox/new/a.tif.json
echo "upload without the token: $(token=wrong; post '/uploads?name=b.tif' x @/var/a.tif)"
echo "bad: $(post '/uploads?name=bad.tif' application/octet-stream 'II*')"
until_ test -e /srv/photos/rejected/bad.tif
echo "retry: $(post /rejected/2/retry application/json '{}')"
echo "originals: $(inside touch /srv/photos/originals/x)"
echo "results: $(inside touch /srv/photos/outbox/x)"
echo "config: $(inside touch /etc/photochrom/config.yaml)"
key=$(sha256sum /srv/photos/outbox/new/a.tif | cut -c1-16)
echo "decoded: $(page /images/1/colored/0/$key/thumbnail.jpg | head -c 3 | od -An -tx1)"
echo "promote: $(post /models/promote application/json '{"version": "builtin"}')"

kill -KILL $(web MainPID)
until_ served
echo "restarts after it was killed: $(web NRestarts)"
systemctl stop photochrom-web
echo "end: $(web ActiveState) $(web Result)"
"$PHOTOCHROM" uninstall | follow
echo "left: $(systemctl list-unit-files --no-legend 'photochrom*' | wc -l)"
"""


@pytest.mark.slow
@pytest.mark.systemd
def test_the_page_lives_in_its_sandbox(tmp_path: Path) -> None:
    """It takes uploads, retries, decodes and tests versions, and can change no original."""
    if reason := why_not():
        pytest.skip(reason)
    root = tmp_path / "root"
    machine(root, CONFIG, STORY, {"photochrom": IN_HASTE, "photochrom-web": IN_HASTE})
    save(root / "var/a.tif", gray_scene(64, 80))

    assert [
        "user photochrom",
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
        'upload: {"path":"new/a.tif"} 201',
        'upload without the token: {"error":"This page is too old. Reload it and try again."} 403',
        'bad: {"path":"bad.tif"} 201',
        'retry: {"words":"bad.tif will be tried again."} 200',
        "originals: Read-only file system",
        "results: Read-only file system",
        "config: Read-only file system",
        "decoded:  ff d8 ff",
        'promote: {"error":"Nothing was changed: version builtin is already promoted"} 409',
        "restarts after it was killed: 1",
        "end: inactive success",
        "left: 0",
    ] == boot(root).splitlines()
