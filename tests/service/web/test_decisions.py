"""What reviewers send, and which photograph each of them gets next."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from service.config.loader import Config
from service.ledger.gallery import GalleryFilter
from service.ledger.jobs import Decision, DecisionRecord, Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.web.users import Role
from tests.support.reviewable import add, archive
from tests.support.web_client import WebClient, web_app

USERS = {"ada": Role.REVIEWER, "ben": Role.REVIEWER, "rea": Role.READER}
NAMES = [f"album {number % 2}/{number}.png" for number in range(12)]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make an archive of twelve results."""
    return archive(tmp_path, NAMES)


@pytest.fixture
def app(config: Config, tmp_path: Path) -> Starlette:
    """Return the application with two reviewers and a reader."""
    assert config.state.is_dir()
    return web_app(tmp_path, users=USERS)


def logged_in(app: Starlette, name: str) -> WebClient:
    """Open a browser as somebody."""
    client = WebClient(app)
    assert 303 == client.log_in(name).status_code
    return client


@pytest.fixture
def ada(app: Starlette) -> WebClient:
    """Open Ada's browser."""
    return logged_in(app, "ada")


def job(config: Config, number: int) -> Job:
    """Return a job as it is now."""
    with LedgerQueries.open(config.state / LEDGER_FILE) as queries:
        found = queries.job(number)
    assert found
    return found


def records(config: Config, number: int) -> list[DecisionRecord]:
    """Return the log of a job."""
    with LedgerQueries.open(config.state / LEDGER_FILE) as queries:
        return queries.gallery.decisions_of(number)


def place(answer: Any) -> str:
    """Return where an answer leads."""
    assert 303 == answer.status_code
    return str(answer.headers["location"])


def photograph(answer: Any) -> int:
    """Return the photograph that an answer leads to."""
    found = re.match(r"/photographs/(\d+)", place(answer))
    assert found, place(answer)
    return int(found[1])


# Decisions


def test_a_decision_is_kept_with_its_reviewer(ada: WebClient, config: Config) -> None:
    """With reason and note; deciding again takes the place of it; null opens it again."""
    sent = {"jobs": [3, 4], "decision": "rejected", "reason": "patches", "note": "left sleeve"}
    assert {"changed": 2} == ada.post("/decisions", json=sent).json()
    assert Decision.REJECTED is job(config, 4).decision
    assert [("ada", "patches", "left sleeve")] == [
        (one.who, one.reason, one.note) for one in records(config, 3)
    ]

    assert {"changed": 1} == ada.post("/decisions", json={"jobs": [3], "decision": None}).json()
    assert job(config, 3).decision is None
    assert job(config, 3).review_owed


def test_all_that_is_filtered_is_decided_on_at_once(ada: WebClient, config: Config) -> None:
    """What came after the page was shown is left alone; one undo takes all of it back."""
    page = ada.get("/?folder=album+1").text
    until = re.search(r'"until": "([\d.]+)"', page)
    assert until
    with Ledger(config.state / LEDGER_FILE) as ledger:
        late = add(config, ledger, "album 1/late.png", 20)
    sent = {"filter": {"folder": "album 1", "until": until[1]}, "count": 6, "decision": "approved"}

    assert {"changed": 6} == ada.post("/decisions", json=sent).json()
    assert job(config, late.id).decision is None
    assert job(config, 1).decision is None
    assert Decision.APPROVED is job(config, 2).decision
    undone = ada.post("/decisions/undo").json()
    assert {"changed": 6, "jobs": [2, 4, 6, 8, 10, 12]} == undone
    assert job(config, 2).decision is None


def test_another_count_than_the_person_saw_decides_nothing(
    ada: WebClient, app: Starlette, config: Config
) -> None:
    """409 in words: Ben has decided on one meanwhile."""
    logged_in(app, "ben").post("/decisions", json={"jobs": [5], "decision": "flagged"})
    sent = {"filter": {"decision": "open"}, "count": 12, "decision": "approved"}
    answer = ada.post("/decisions", json=sent)

    assert 409 == answer.status_code
    assert "nothing was decided" in answer.json()["error"]
    with LedgerQueries.open(config.state / LEDGER_FILE) as queries:
        assert 0 == queries.gallery.count(GalleryFilter(decision="approved"))
    assert {"changed": 11} == ada.post("/decisions", json={**sent, "count": 11}).json()


def test_undo_is_ones_own(ada: WebClient, app: Starlette, config: Config) -> None:
    """Ada's undo does not touch what Ben decided; with nothing left it says so."""
    ada.post("/decisions", json={"jobs": [1], "decision": "approved"})
    logged_in(app, "ben").post("/decisions", json={"jobs": [2], "decision": "approved"})

    assert {"changed": 1, "jobs": [1]} == ada.post("/decisions/undo").json()
    assert {"changed": 0, "jobs": []} == ada.post("/decisions/undo").json()
    assert Decision.APPROVED is job(config, 2).decision


def test_a_note_leaves_the_decision(ada: WebClient, config: Config) -> None:
    """Of a photograph that there is."""
    assert 200 == ada.post("/photographs/1/note", json={"note": " see the letter "}).status_code
    assert ["see the letter"] == [one.note for one in records(config, 1)]
    assert "see the letter" in ada.get("/?order=oldest").text
    assert 404 == ada.post("/photographs/99/note", json={"note": "x"}).status_code
    assert 400 == ada.post("/photographs/1/note", json={"note": " "}).status_code


@pytest.mark.parametrize(
    "sent",
    [
        [],
        {},
        {"jobs": [], "decision": "approved"},
        {"jobs": ["1"], "decision": "approved"},
        {"jobs": [True], "decision": "approved"},
        {"jobs": [0], "decision": "approved"},
        {"jobs": [1 << 63], "decision": "approved"},
        {"jobs": [1]},
        {"jobs": [1], "decision": "good"},
        {"jobs": [1], "decision": ["approved"]},
        {"jobs": [1], "decision": "approved", "reason": 5},
        {"jobs": [1], "decision": "approved", "note": "x" * 10_001},
        {"filter": "all", "count": 12, "decision": "approved"},
        {"filter": {"state": "x"}, "count": 12, "decision": "approved"},
        {"filter": {"folder": 3}, "count": 12, "decision": "approved"},
        {"filter": {}, "count": "12", "decision": "approved"},
        {"filter": {}, "count": True, "decision": "approved"},
        {"filter": {}, "decision": "approved"},
    ],
)
def test_senseless_decisions_are_refused(ada: WebClient, config: Config, sent: object) -> None:
    """400 in words, and nothing is decided."""
    answer = ada.post("/decisions", json=sent)

    assert (400, True) == (answer.status_code, "makes no sense" in answer.json()["error"])
    assert job(config, 1).decision is None


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"null"])
def test_what_is_no_json_is_refused(ada: WebClient, body: bytes) -> None:
    """400 too."""
    assert 400 == ada.post("/decisions", content=body).status_code


def test_a_forged_decision_is_refused(ada: WebClient, config: Config) -> None:
    """Without the page's token, though the browser is logged in."""
    answer = ada.post("/decisions", csrf=None, json={"jobs": [1], "decision": "approved"})

    assert 403 == answer.status_code
    assert job(config, 1).decision is None


def test_jobs_without_a_result_are_skipped(ada: WebClient) -> None:
    """Such as ones that were forgotten meanwhile."""
    answer = ada.post("/decisions", json={"jobs": [99], "decision": "approved"})
    assert {"changed": 0} == answer.json()


# One by one


def test_reviewers_get_one_open_photograph_after_another(ada: WebClient, config: Config) -> None:
    """In the order asked for, decided ones left out; at the end back to the gallery."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.reviews.decide([11], Decision.APPROVED, who="ben", now=1.0)
    given = [photograph(ada.get("/next"))]
    while "photographs" in (there := place(ada.get(f"/next?after={given[-1]}"))):
        given.append(int(there.rpartition("/")[2]))
        ada.post("/decisions", json={"jobs": given[-2:-1], "decision": "approved"})
        if len(given) > 12:
            break

    assert [12, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1] == given[:11]


def test_the_selection_stays(ada: WebClient) -> None:
    """Folder, order and all else go on from photograph to photograph."""
    first = place(ada.get("/next?folder=album+1&order=oldest&view=grid"))
    assert first == "/photographs/2?folder=album+1&order=oldest&view=grid"
    assert "/photographs/4?folder=album+1&order=oldest" == place(
        ada.get("/next?folder=album+1&order=oldest&after=2")
    )


def test_two_reviewers_never_get_the_same_photograph(app: Starlette) -> None:
    """Both go on at the same time, until all is decided; each photograph was given to one."""
    seen: dict[str, list[int]] = {}

    def review(name: str) -> None:
        client = logged_in(app, name)
        last = 0
        while "/photographs/" in (there := place(client.get(f"/next?after={last}"))):
            last = int(there.rpartition("/")[2])
            seen.setdefault(name, []).append(last)
            sent = {"jobs": [last], "decision": "approved"}
            assert 200 == client.post("/decisions", json=sent).status_code

    threads = [threading.Thread(target=review, args=(name,)) for name in ("ada", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(1, 13)) == sorted([*seen["ada"], *seen.get("ben", [])])


def test_a_photograph_asked_for_says_who_looks_at_it(
    ada: WebClient, app: Starlette, config: Config
) -> None:
    """Ben may open it all the same, and gets it once Ada has left."""
    ben = logged_in(app, "ben")
    assert config.state.is_dir()
    first = photograph(ada.get("/next"))

    assert {"by": "ada"} == ben.post(f"/photographs/{first}/claim").json()
    assert {"by": None} == ada.post(f"/photographs/{first}/claim").json()
    leaving = {"leave": "1", "csrf_token": ada.token()}
    assert 200 == ada.post(f"/photographs/{first}/claim", csrf=None, data=leaving).status_code
    assert first == photograph(ben.get("/next"))


def test_readers_go_through_all_of_them(app: Starlette) -> None:
    """Decided ones too, in both directions, and nothing is claimed."""
    rea = logged_in(app, "rea")
    assert 12 == photograph(rea.get("/next"))
    assert 11 == photograph(rea.get("/next?after=12"))
    assert 12 == photograph(rea.get("/next?before=11"))
    assert "/" == place(rea.get("/next?before=12"))
    assert "/?order=oldest" == place(rea.get("/next?after=12&order=oldest"))
    assert 12 == photograph(logged_in(app, "ben").get("/next"))


def test_decided_ones_are_looked_through_in_order(ada: WebClient) -> None:
    """With a filter of decided ones, next is next, not the next open one."""
    ada.post("/decisions", json={"jobs": [2, 3, 7], "decision": "rejected"})

    assert 7 == photograph(ada.get("/next?decision=rejected"))
    assert 3 == photograph(ada.get("/next?decision=rejected&after=7"))
    assert "/?decision=rejected" == place(ada.get("/next?decision=rejected&after=2"))


def test_a_sample_is_gone_through_in_its_order(
    ada: WebClient, app: Starlette, config: Config
) -> None:
    """Open ones that nobody else looks at; at the end its result is shown."""
    sample = "jobs=9.2.7.5&among=12"
    ben = logged_in(app, "ben")
    assert config.state.is_dir()
    assert 9 == photograph(ada.get(f"/next?{sample}"))
    assert 2 == photograph(ben.get(f"/next?{sample}"))
    ada.post("/decisions", json={"jobs": [9], "decision": "approved"})
    assert 7 == photograph(ada.get(f"/next?{sample}&after=9"))
    assert 5 == photograph(ben.get(f"/next?{sample}&after=2"))
    assert 2 == photograph(ada.get(f"/next?{sample}&before=7"))
    ada.post("/decisions", json={"jobs": [2, 7, 5], "decision": "approved"})

    assert place(ada.get(f"/next?{sample}&after=5")).startswith("/sample?")
