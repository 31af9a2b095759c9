"""The installed service under a real systemd, whose sandbox knows as little as any other process.

Somebody else's programs write into its inbox, and pause.
"""

import hashlib
import json
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.shares.local_writer import PAGED, WAYS
from tests.shares.scans import raw, three_pages
from tests.shares.scenes import TAKEN
from tests.shares.writers import put_source
from tests.support.booted_systemd import FROM_HERE, boot, machine, why_not

CONFIG = """
inbox: /srv/photos/inbox
outbox: /srv/photos/outbox
originals: {folder: /srv/photos/originals}
rejected: /srv/photos/rejected
state: /srv/photos/state
model: {render_size: 64}
"""
PAUSE = 8.0  # seconds
# Each file is whole and closed after each page, so the service may well take it.
NOT_HELD = {"appended"}
ANNA = 4711  # of no other account there
STORY = f"""
"$PHOTOCHROM" install --config /etc/photochrom/config.yaml | follow
until_ active
setpriv --reuid={ANNA} --regid=photochrom --clear-groups \
  {sys.executable} -m tests.shares.local_writer < /var/orders > /var/answers
all_done() {{ [ $(ls /srv/photos/outbox/*.json 2> /dev/null | wc -l) = $(wc -l < /var/orders) ]; }}
until_ all_done
until_ sh -c '! ls /srv/photos/inbox/*.tif 2> /dev/null'
systemctl stop photochrom
journalctl -u photochrom -o cat --output-fields=MESSAGE > /var/log.json
echo "end: $(shown Result)"
"""


@pytest.mark.shares
@pytest.mark.slow
@pytest.mark.systemd
def test_the_service_takes_no_scan_that_is_being_written(tmp_path: Path) -> None:
    """Not in a pause of 8 seconds, by whatever program of another user; none is harmed."""
    if reason := why_not():
        pytest.skip(reason)
    root = tmp_path / "root"
    machine(root, CONFIG, STORY, {"photochrom": FROM_HERE})
    pictures = {
        way: three_pages(number, tmp_path) if way in PAGED else raw(number)
        for number, way in enumerate(sorted(WAYS.keys() | PAGED.keys() - NOT_HELD))
    }
    orders = []
    for way, picture in pictures.items():
        put_source(root / "var" / way, picture, way)
        target = f"/srv/photos/inbox/{way}.tif"
        orders.append(
            {"id": way, "way": way, "target": target, "source": f"/var/{way}", "pause": PAUSE}
        )
    (root / "var/orders").write_text("".join(f"{json.dumps(one)}\n" for one in orders))

    assert "end: success\n" == boot(root)
    answers = [json.loads(line) for line in (root / "var/answers").read_text().splitlines()]
    assert [] == [one for one in answers if one["fault"]]
    last = {f"{one['id']}.tif": one["last"] for one in answers}
    lines = (root / "var/log.json").read_text().splitlines()
    log = [json.loads(line) for line in lines if line.startswith("{")]
    assert [] == [
        line
        for line in log
        if line["event"] in TAKEN
        and datetime.fromisoformat(line["timestamp"]).timestamp() < last[line["path"]]
    ]
    photos = root / "srv/photos"
    for way, picture in pictures.items():
        original = (photos / f"originals/{way}.tif").read_bytes()
        assert picture.sha256 == hashlib.sha256(original).hexdigest(), way
        assert "" == picture.differs_from(photos / f"outbox/{way}.tif"), way
