"""The service page's answers: what it shows, who may retry, which uploads are taken."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.config.loader import Config
from service.filesystem.lock import StateLock
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.monitoring.heartbeat import Heartbeat, WorkerBeat, write_heartbeat
from service.web.users import Role
from tests.support.delivered_results import color, place_with_ledger, queue, reject
from tests.support.web_client import WebClient, web_app

IN_COLOR = (
    "the photograph is in color already; color it with `photochrom retry 1 --even-if-colored`"
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders, with a finished, a waiting and a rejected photograph."""
    config = place_with_ledger(tmp_path)
    color(config, "1910/done.tif")
    reject(config, "1910/<b>bad</b>.tif")
    queue(config, "waits.tif")
    return config


def client(
    folder: Path, role: Role | None = None, language: str = "en", **web: object
) -> WebClient:
    """Return the browser of a user with a role; None: on this machine, without users."""
    users = None if role is None else {"anna": role}
    browser = WebClient(web_app(folder, users=users, **web), language=language)
    if role:
        browser.log_in("anna")
    return browser


def test_the_page_tells_how_things_stand(config: Config, tmp_path: Path) -> None:
    """Counts, the reason of a rejection, and that no daemon runs; names are no HTML."""
    text = client(tmp_path).get("/service").text

    assert "photochrom is not running" in text
    assert '<dd id="count-queued">1</dd>' in text
    assert '<dd id="count-finished">1</dd>' in text
    assert '<dd id="count-failed">1</dd>' in text
    assert "the file is cut short" in text
    assert "&lt;b&gt;bad&lt;/b&gt;.tif" in text
    assert "<b>bad" not in text
    assert str(config.inbox) in text


def test_the_workers_of_a_cluster_are_shown(config: Config, tmp_path: Path) -> None:
    """Each with its state, and why it is paused; without a cluster there is no such panel."""
    hidden = '<section class="panel wide-panel" id="live-workers" hidden'

    assert hidden in client(tmp_path).get("/service").text

    worker = WorkerBeat(
        name="scanner-2 #1", host="scanner-2", state="paused", done=1200, reason="no <i>share</i>"
    )
    now = time.time()
    beat = Heartbeat(
        time=now,
        pid=os.getpid(),
        started=now,
        health="ok",
        model="3",
        batch_size=2,
        rescanned=now,
        workers=(worker,),
        worker_deaths=1,
    )
    with StateLock(config.state):
        write_heartbeat(config.state, beat)
        text = client(tmp_path).get("/service").text

    assert hidden not in text
    assert "scanner-2 #1" in text
    assert "no &lt;i&gt;share&lt;/i&gt;" in text
    assert "1,200" in text
    assert "1 worker was lost since the start" in text


def test_before_the_first_photograph_there_is_a_page(tmp_path: Path) -> None:
    """Without a ledger nothing is counted, and nothing fails."""
    answer = client(tmp_path).get("/service")

    assert 200 == answer.status_code
    assert "No photograph was rejected." in answer.text


def test_a_damaged_ledger_is_told(config: Config, tmp_path: Path) -> None:
    """The page stays, with the reason in place of the counts."""
    browser = client(tmp_path)
    (config.state / LEDGER_FILE).write_bytes(b"no ledger" * 1000)
    answer = browser.get("/service/live")

    assert 200 == answer.status_code
    assert "The ledger cannot be read" in answer.text


@pytest.mark.usefixtures("config")
def test_the_page_speaks_chinese(tmp_path: Path) -> None:
    """All that is not the daemon's own words."""
    text = client(tmp_path, language="zh-CN").get("/service").text

    assert "photochrom 未运行" in text
    assert "等待中" in text
    assert "重试" in text


@pytest.mark.usefixtures("config")
def test_readers_see_no_buttons(tmp_path: Path) -> None:
    """They neither retry nor upload; and are refused if they try."""
    browser = client(tmp_path, Role.READER)
    text = browser.get("/service").text

    assert "data-retry" not in text
    assert 'id="drop-zone"' not in text
    assert 403 == browser.post("/rejected/2/retry", json={}).status_code
    assert 403 == browser.post("/uploads?name=a.tif", content=b"II*\0").status_code


def test_a_rejected_photograph_is_tried_again(config: Config, tmp_path: Path) -> None:
    """Its scan is back in the inbox, as with `photochrom retry`; a second time is refused."""
    browser = client(tmp_path, Role.REVIEWER)
    first = browser.post("/rejected/2/retry", json={})

    assert (200, {"words": "1910/<b>bad</b>.tif will be tried again."}) == (
        first.status_code,
        first.json(),
    )
    assert (config.inbox / "1910/<b>bad</b>.tif").is_file()
    second = browser.post("/rejected/2/retry", json={})
    assert 409 == second.status_code
    assert "the inbox has another file with its name" in second.json()["error"]


def test_color_it_all_the_same(config: Config, tmp_path: Path) -> None:
    """The job remembers that its color does not matter."""
    browser = client(tmp_path, Role.REVIEWER)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        waiting = ledger.queries.oldest_waiting()
        assert waiting
        ledger.fail(waiting.id, IN_COLOR, 1.0)
    (config.inbox / "waits.tif").rename(config.rejected / "waits.tif")
    assert f'data-anyway="{waiting.id}"' in browser.get("/service").text
    answer = browser.post(f"/rejected/{waiting.id}/retry", json={"even_if_colored": True})
    with LedgerQueries.open(config.state / LEDGER_FILE) as queries:
        job = queries.job(waiting.id)

    assert 200 == answer.status_code
    assert job
    assert job.settings.even_if_colored


@pytest.mark.usefixtures("config")
def test_what_cannot_be_retried_is_told(tmp_path: Path) -> None:
    """No such job, one that is finished, and no JSON."""
    browser = client(tmp_path, Role.REVIEWER)
    answers = [browser.post(f"/rejected/{job}/retry", json={}) for job in (99, 1)]

    assert [404, 409] == [one.status_code for one in answers]
    assert "no such job" in answers[0].json()["error"]
    assert 400 == browser.post("/rejected/2/retry", content=b"[").status_code
    assert 404 == browser.post("/rejected/../retry", json={}).status_code


def test_an_upload_is_in_the_inbox(config: Config, tmp_path: Path) -> None:
    """With all its bytes, in the folder that was chosen."""
    browser = client(tmp_path, Role.REVIEWER)
    content = b"II*\0" + bytes(3_000_000)
    answer = browser.post("/uploads?name=Straße 4.tif&folder=1912/märz", content=content)

    assert (201, {"path": "1912/märz/Straße 4.tif"}) == (answer.status_code, answer.json())
    assert content == (config.inbox / "1912/märz/Straße 4.tif").read_bytes()


def test_an_upload_replaces_nothing(config: Config, tmp_path: Path) -> None:
    """409 in words, or another name if that was asked for."""
    browser = client(tmp_path, Role.REVIEWER)
    taken = browser.post("/uploads?name=waits.tif", content=b"II*\0")
    other = browser.post("/uploads?name=waits.tif&numbered=1", content=b"II*\0")

    assert 409 == taken.status_code
    assert "already has a file with this name: waits.tif" in taken.json()["error"]
    assert {"path": "waits (2).tif"} == other.json()
    assert b"gray waits.tif" == (config.inbox / "waits.tif").read_bytes()


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("name=../a.tif", 400, "This name cannot be used"),
        ("name=a.tif&folder=../../etc", 400, "This folder cannot be used"),
        ("name=a.tif&folder=/etc", 400, "This folder cannot be used"),
        ("name=a%00.tif", 400, "This name cannot be used"),
        ("name=%2e%2e%2fa.tif", 400, "This name cannot be used"),
        ("name=.hidden.tif", 400, "ignored in the inbox"),
        ("name=a.exe", 400, "no format that photochrom reads"),
        ("", 400, "This name cannot be used"),
    ],
)
def test_path_tricks_are_refused(
    config: Config, tmp_path: Path, query: str, status: int, words: str
) -> None:
    """Nothing is written anywhere."""
    before = sorted(tmp_path.rglob("*"))
    browser = client(tmp_path)
    answer = browser.post(f"/uploads?{query}", content=b"II*\0")

    assert (status, True) == (answer.status_code, words in answer.json()["error"])
    assert before == sorted(tmp_path.rglob("*"))
    assert config.inbox.is_dir()


def test_an_upload_has_a_limit(config: Config, tmp_path: Path) -> None:
    """By what is announced, and by what arrives; 0 turns uploads off, and the drop zone."""
    content = b"x" * 2_000_000
    small, off = client(tmp_path, upload_limit=1.0), client(tmp_path, upload_limit=0.0)

    async def unannounced() -> AsyncIterator[bytes]:
        yield content

    for sent in (content, unannounced()):
        assert 413 == small.post("/uploads?name=a.tif", content=sent).status_code
    assert 403 == off.post("/uploads?name=a.tif", content=b"x").status_code
    assert 'id="drop-zone"' not in off.get("/service").text
    assert ["1910", "waits.tif"] == sorted(path.name for path in config.inbox.iterdir())


def test_jobs_are_counted_by_every_status(config: Config, tmp_path: Path) -> None:
    """The page has a figure for each status that there is."""
    text = client(tmp_path).get("/service").text

    assert all(f'id="count-{status}"' in text for status in JobStatus)
    assert config.state.is_dir()
