"""Corrections as the page's script sends them: checked, signed, and queued through the ledger."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.config.sections import Color
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.web.corrections import signed
from service.web.users import Role
from tests.support.command import Home
from tests.support.web_client import WebClient, web_app
from worker.settings import ColorPoint, Reference

POINT: dict[str, Any] = {"page": 0, "x": 0.25, "y": 0.5, "color": "#7a1f2b", "radius": 0.2}
WRONG = [
    {},
    {"wishes": []},
    {"wishes": {"vividness": 101}},
    {"wishes": {"vividness": "very"}},
    {"wishes": {"variant": 4}},
    {"wishes": {"hue": 3}},
    {"wishes": {"points": [{**POINT, "color": "red"}]}},
    {"wishes": {"points": [{**POINT, "x": 1.5}]}},
    {"wishes": {"points": [{**POINT, "x": float("nan")}]}},
    {"wishes": {"points": [POINT] * 65}},
    {"wishes": {"reference": "a.jpg"}},
    {"wishes": {"reference": {"name": "a.jpg", "sha256": "0" * 64, "colors": []}}},
]


@pytest.fixture
def home(archive: Home, tmp_path: Path) -> Path:
    """Copy the archive for one test."""
    return Path(shutil.copytree(archive.folder, tmp_path / "home"))


@pytest.fixture
def ben(home: Path) -> WebClient:
    """Return the browser of a reviewer."""
    client = WebClient(web_app(home, users={"ada": Role.READER, "ben": Role.REVIEWER}))
    client.log_in("ben")
    return client


def all_jobs(home: Path) -> list[Job]:
    """Return the jobs of the ledger."""
    with LedgerQueries.open(home / "state" / LEDGER_FILE) as ledger:
        return list(ledger.all_jobs())


def job_of(home: Path, number: int | None = None) -> Job:
    """Return a job of the ledger, or its first one."""
    with LedgerQueries.open(home / "state" / LEDGER_FILE) as ledger:
        found = ledger.colored()[0] if number is None else ledger.job(number)
    assert found
    return found


def test_wishes_queue_the_photograph_again(home: Path, ben: WebClient) -> None:
    """The ledger has them, signed by who knows; the page's script then has them too."""
    job = job_of(home)
    wishes = {
        "vividness": 70,
        "warmth": -5,
        "variant": 1,
        "points": [{**POINT, "source": "a coat"}],
        "reference": None,
    }
    answer = ben.post(f"/photographs/{job.id}/apply", json={"wishes": wishes})
    queued = job_of(home, job.id)
    facts = ben.get(f"/photographs/{job.id}.json").json()

    assert {"queued": 1} == answer.json()
    assert (JobStatus.QUEUED, True) == (queued.status, queued.recolor)
    assert (ColorPoint(0.25, 0.5, "#7a1f2b", 0.2, 0, "ben", "a coat"),) == queued.settings.points
    assert (70, 1) == (queued.settings.color.vividness, queued.settings.variant)
    assert facts["busy"] is True
    assert {**wishes, "points": [{**POINT, "source": "a coat", "who": "ben"}]} == facts["wishes"]


def test_nobody_speaks_in_anothers_name(home: Path, ben: WebClient) -> None:
    """Points that were there keep their names; new ones get the visitor's."""
    job = job_of(home)
    forged = {**POINT, "who": "cleo"}
    ben.post(f"/photographs/{job.id}/apply", json={"wishes": {"points": [forged]}})

    assert ["ben"] == [point.who for point in job_of(home, job.id).settings.points]


def test_who_chose_a_reference_is_kept(home: Path, ben: WebClient) -> None:
    """Whoever the browser says it was; as it was before it stays another's."""
    job = job_of(home)
    sunset = {"name": "sunset.jpg", "sha256": "0" * 64, "colors": [[20, 40, 900]], "source": ""}
    forged = {"wishes": {"reference": {**sunset, "who": "cleo"}}}
    ben.post(f"/photographs/{job.id}/apply", json=forged)
    facts = ben.get(f"/photographs/{job.id}.json").json()
    kept = job_of(home, job.id).settings
    again = signed(kept.wishes(Color()), kept, "cleo")

    assert Reference("sunset.jpg", "0" * 64, ((20, 40, 900),), "ben") == kept.reference
    assert {**sunset, "who": "ben"} == facts["wishes"]["reference"]
    assert kept.reference == again.reference


def names(ben: WebClient, job: Job, word: str = "") -> list[str]:
    """List the results that a photograph can be colored like."""
    answer = ben.get(f"/photographs/{job.id}/references?word={word}")
    return [one["name"] for one in answer.json()]


def test_results_are_offered_as_references(home: Path, ben: WebClient) -> None:
    """Approved ones of the same folder first, then approved ones, then the folder's; or by name."""
    jobs = {str(job.path): job for job in all_jobs(home)}
    scan = jobs["street/0.jpg"]
    before = names(ben, scan)
    for path in ("album/harbor.tif", "street/2.jpg"):
        sent = {"jobs": [jobs[path].id], "decision": "approved"}
        assert 200 == ben.post("/decisions", json=sent).status_code
    after = names(ben, scan)

    assert ["street/3.jpg", "street/2.jpg", "street/1.jpg"] == sorted(before)[::-1]
    assert ["street/2.jpg", "album/harbor.tif"] == after[:2]
    assert {"street/1.jpg", "street/3.jpg"} == set(after[2:])
    assert ["album/harbor.tif"] == names(ben, scan, "HARB")
    assert [] == names(ben, scan, "nothing")


def test_what_was_taken_away_is_no_reference(home: Path, ben: WebClient) -> None:
    """Nor what is not there; in words."""
    jobs = {str(job.path): job for job in all_jobs(home)}
    with Ledger(home / "state" / LEDGER_FILE) as ledger:
        ledger.reviews.mark_fetched([jobs["street/1.jpg"].id], 1.0)
    scan = jobs["street/0.jpg"]
    unknown = ben.get(f"/photographs/{scan.id}/references/999999.json", html=False)

    assert "street/1.jpg" not in names(ben, scan)
    assert 404 == unknown.status_code
    assert "no such photograph" in unknown.json()["error"]


def test_a_photograph_in_the_queue_is_left_alone(home: Path, ben: WebClient) -> None:
    """A second order before the first is done is refused in words."""
    job = job_of(home)
    send = {"wishes": {"warmth": 4}}
    answers = [ben.post(f"/photographs/{job.id}/apply", json=send) for _ in range(2)]

    assert [200, 409] == [one.status_code for one in answers]
    assert "not finished" in answers[1].json()["error"]


@pytest.mark.parametrize("sent", WRONG)
def test_what_makes_no_sense_is_refused(home: Path, ben: WebClient, sent: dict[str, Any]) -> None:
    """In words, and nothing is queued."""
    job = job_of(home)
    answer = ben.post(f"/photographs/{job.id}/apply", content=json.dumps(sent))  # NaN too

    assert 400 == answer.status_code
    assert answer.json()["error"]
    assert job == job_of(home, job.id)


def test_only_reviewers_apply(home: Path, ben: WebClient) -> None:
    """And only with the token of a page."""
    job = job_of(home)
    url, sent = f"/photographs/{job.id}/apply", {"wishes": {"warmth": 4}}
    forged = ben.post(url, csrf=None, json=sent)
    ben.log_in("ada")
    as_reader = ben.post(url, json=sent)

    assert [403, 403] == [forged.status_code, as_reader.status_code]
    assert job == job_of(home, job.id)


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ("swatches?page=0&x=2&y=0.1", 400),
        ("swatches?page=0&x=nan&y=0.1", 400),
        ("swatches?page=0&x=0.1", 400),
        ("swatches?page=-1&x=0.1&y=0.1", 400),
        ("swatches?page=99999999999&x=0.1&y=0.1", 400),
        ("swatches?page=7&x=0.1&y=0.1", 404),
        ("variants/4.jpg?page=0", 404),
        ("variants/../../etc.jpg", 404),
        ("confidence/7.png", 404),
        ("confidence/..png", 404),
    ],
)
def test_places_and_pages_that_are_not_there(
    home: Path, ben: WebClient, rest: str, status: int
) -> None:
    """Are refused before any network is loaded for them."""
    answer = ben.get(f"/photographs/{job_of(home).id}/{rest}", html=False)

    assert status == answer.status_code
    assert answer.json()["error"]


def test_no_photograph_no_preview(ben: WebClient) -> None:
    """And without a page's token none either, as a preview costs the machine something."""
    sent = {"page": 0, "wishes": {}}
    unknown = ben.post("/photographs/999999/preview", json=sent)
    forged = ben.post("/photographs/1/preview", csrf=None, json=sent)

    assert [404, 403] == [unknown.status_code, forged.status_code]
