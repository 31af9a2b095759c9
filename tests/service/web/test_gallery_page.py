"""The gallery as a browser without a script gets it."""

import html
import re
from pathlib import Path

import pytest

from service.config.loader import Config
from service.config.sections import Review
from service.ledger.jobs import Decision
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.web.app import create_app
from service.web.users import Role
from tests.support.reviewable import FIRST, add, archive
from tests.support.web_client import WebClient, web_app

NAMES = [f"album {number % 2}/photo {number:02}.png" for number in range(70)]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make an archive of 70 results."""
    return archive(tmp_path, NAMES)


@pytest.fixture
def client(config: Config, tmp_path: Path) -> WebClient:
    """Open a browser on this machine."""
    assert config.state == tmp_path / "state"
    return WebClient(web_app(tmp_path))


def shown(page: str) -> list[int]:
    """Return the jobs on a page, in their order."""
    return [int(number) for number in re.findall(r'<li class="photo" data-job="(\d+)"', page)]


def link(page: str, relation: str) -> str | None:
    """Return where a page's link of a relation leads, or None."""
    found = re.search(rf'rel="{relation}" href="([^"]+)"', page)
    return html.unescape(found[1]) if found else None


def words(page: str) -> str:
    """Return the text of a page."""
    return html.unescape(" ".join(re.sub("<[^>]+>", " ", page).split()))


def decide(config: Config, jobs: list[int], decision: Decision, reason: str = "") -> None:
    """Decide on some as Ada."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.reviews.decide(jobs, decision, who="Ada", now=1.0, reason=reason)


# Pages


@pytest.mark.parametrize("view", ["list", "grid"])
def test_pages_lead_on_and_back_through_all(client: WebClient, view: str) -> None:
    """Newest first; each photograph once; back the same way; the first page is a full one."""
    place: str | None = f"/?view={view}"
    pages, on = [], []
    while place:
        text = client.get(place).text
        pages.append(shown(text))
        on.append(place)
        place = link(text, "next")
    assert list(range(70, 0, -1)) == [job for one in pages for job in one]

    place = link(client.get(on[-1]).text, "prev")
    for expected in pages[-2::-1]:
        assert place
        text = client.get(place).text
        assert expected == shown(text)
        place = link(text, "prev")
    assert place is None


def test_new_photographs_move_no_page(client: WebClient, config: Config) -> None:
    """The next page goes on behind the last one shown, whatever came meanwhile."""
    first = client.get("/").text
    with Ledger(config.state / LEDGER_FILE) as ledger:
        add(config, ledger, "album 0/late.png", 71)

    assert [40, 39] == shown(client.get(str(link(first, "next"))).text)[:2]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("folder=album+1", 35),
        ("word=PHOTO+0", 10),
        ("below=0.5", 24),
        ("model=2", 35),
        ("decision=open", 69),
        ("decision=approved", 1),
        ("state=held", 0),
        ("since=2000-01-01&until=2000-01-02", 0),
        ("folder=album+1&below=0.5&model=1", 6),
    ],
)
def test_each_filter_narrows_the_pages(
    client: WebClient, config: Config, query: str, count: int
) -> None:
    """A plain form: the answer is in the page, and the form keeps what was asked."""
    decide(config, [1], Decision.APPROVED)
    place: str | None = f"/?{query}"
    found = 0
    while place:
        text = client.get(place).text
        found += len(shown(text))
        place = link(text, "next")

    assert count == found


def test_the_form_keeps_what_was_asked(client: WebClient) -> None:
    """So that one filter can be added to another."""
    page = client.get('/?folder=album+1&word="<b>&below=0.5&decision=open&order=oldest').text

    assert '<input type="hidden" name="folder" value="album 1">' in page
    assert 'value="&#34;&lt;b&gt;"' in page
    assert 'name="below" type="number" value="0.5"' in page
    assert '<option value="open" selected>' in page
    assert '<option value="oldest" selected>' in page
    assert "<details" in page
    assert "open>" in page  # the filters that are seldom used, since one of them is


@pytest.mark.parametrize("query", ["after=x", "below=7", "order=x", "until=never", "view=x"])
def test_senseless_words_are_refused(client: WebClient, query: str) -> None:
    """In words, not by a failure."""
    answer = client.get(f"/?{query}")

    assert 400 == answer.status_code
    assert "makes no sense" in answer.text


# What is told


def test_progress_is_told(client: WebClient, config: Config) -> None:
    """How many are decided, and how many of these approved; of a folder alone too."""
    assert "70 photographs, none decided yet" in words(client.get("/").text)
    decide(config, [1, 2, 3], Decision.APPROVED)
    decide(config, [4], Decision.REJECTED, "wrong color of clothing")

    page = words(client.get("/?order=oldest").text)
    assert "4 of 70 decided, 75 % approved" in page
    assert "Rejected Ada : wrong color of clothing" in page
    folder = words(client.get("/?folder=album+0&decision=open").text)
    assert "2 of 35 decided, 100 % approved" in folder
    assert "33 shown by this filter" in folder


def test_what_is_held_says_why(tmp_path: Path) -> None:
    """Because all are, because of its confidence, or because it is delivered in a moment."""
    config = archive(tmp_path, [], config=Config(review=Review(hold_below=0.4)))
    with Ledger(config.state / LEDGER_FILE) as ledger:
        add(config, ledger, "doubtful.png", 0, held=True)
        add(config, ledger, "unknown.png", 1, held=True, confidence=None)
        approved = add(config, ledger, "approved.png", 2, held=True)
        blocked = add(config, ledger, "blocked.png", 3, held=True)
        both = [approved.id, blocked.id]
        ledger.reviews.decide(both, Decision.APPROVED, who="Ada", now=1.0)
        ledger.reviews.note_problem(blocked.id, "another file has its name")

    client = WebClient(create_app(config))
    page = words(client.get("/").text)
    assert "4 held until approved" in page
    assert "Cannot be delivered: another file has its name" in page
    blocked_page = words(client.get(f"/photographs/{blocked.id}").text)
    assert "Approved, but it cannot be delivered: another file has its name" in blocked_page
    assert "Cannot be delivered Approved" in blocked_page
    approved_page = client.get(f"/photographs/{approved.id}").text
    assert "Is being delivered Approved" in words(approved_page)
    assert 'id="blocked"' not in approved_page
    assert "Held until approved: confidence below 0.40" in page
    assert "Held until approved: confidence unknown" in page
    assert "Is being delivered" in page


def test_after_a_recoloring_the_most_changed_come_first(tmp_path: Path) -> None:
    """Each with its number; those that were colored once come last, without one."""
    config = archive(tmp_path, [], config=Config())
    with Ledger(config.state / LEDGER_FILE) as ledger:
        for number, change in enumerate((None, 0.04, 23.46, 3.0)):
            add(config, ledger, f"{number}.png", number, change=change)

    page = words(WebClient(create_app(config)).get("/?order=change").text)
    assert ["2", "3", "1", "0"] == re.findall(r"scan (\d) \.png", page)
    assert ["23.5", "3.0", "0.0"] == re.findall(r"changed by ([0-9.]+)", page)


def test_both_pictures_are_labeled(client: WebClient) -> None:
    """Each says in sight and to screen readers which it is; it loads when it is near."""
    page = client.get("/?view=grid").text
    pictures = re.findall(r"<img [^>]+>", page)

    assert 40 == len(pictures)
    assert all('loading="lazy"' in one and 'width="240"' in one for one in pictures)
    assert 20 == page.count('<span class="picture-label">scan</span>')
    assert 20 == page.count('<span class="picture-label">colored by a machine</span>')
    assert 'alt="photo 69.png, colored by a machine"' in page


def test_a_photograph_leads_to_what_is_like_it(client: WebClient) -> None:
    """Its folder and its model, within what is filtered already."""
    page = html.unescape(client.get("/?below=0.5").text)

    assert 'href="/?below=0.5&folder=album+1"' in page
    assert 'href="/?below=0.5&model=2"' in page
    assert re.search(r'href="/photographs/\d+\?below=0\.5"', page)


def test_a_photographs_page_leads_to_what_is_like_it(client: WebClient) -> None:
    """Its folder, the doubtful ones there, what the same model colored; each finds it, too."""
    page = html.unescape(client.get("/photographs/64").text)
    links = re.findall(r'href="([^"]+)"', page.partition('<ul class="files like">')[2])[:3]

    assert [
        "/?folder=album+1",
        "/?folder=album+1&below=0.30&order=confidence",
        "/?model=2",
    ] == links
    assert all(64 in shown(client.get(link).text) for link in links)


def test_folders_are_walked_level_by_level(tmp_path: Path) -> None:
    """Down by the list, up by the way that led there."""
    archive(tmp_path, ["a/b/c/1.png", "a/b/2.png", "a/d/3.png"])
    page = html.unescape(WebClient(web_app(tmp_path)).get("/?folder=a%2Fb").text)
    way = page[page.index('<nav class="way"') :].partition("</nav>")[0]

    assert ["/", "/?folder=a", "/?folder=a%2Fb", "/?folder=a%2Fb%2Fc"] == re.findall(
        r'href="([^"]+)"', way
    )


def test_names_of_any_bytes_are_shown(tmp_path: Path) -> None:
    """Names that HTML cannot hold, or that would be HTML, are text."""
    archive(tmp_path, ["<script>alert(1)</script>/\udcff.png", "line\nbreak/1.png"])
    client = WebClient(web_app(tmp_path))
    page = client.get("/").text

    assert "<script>alert" not in page
    folders = re.findall(r'href="/\?folder=([^"]+)"', page)
    assert folders
    for folder in folders:
        assert 1 == len(shown(client.get(f"/?folder={folder}").text))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("word=nothing", "No photograph fits this filter."),
        ("decision=open", "Nothing is open here: all 70 photographs are decided."),
        (f"order=oldest&after={FIRST * 2!r}_1", "There are no further photographs here."),
    ],
)
def test_an_empty_page_says_why(client: WebClient, config: Config, query: str, said: str) -> None:
    """And what to do."""
    decide(config, list(range(1, 71)), Decision.APPROVED)

    assert said in words(client.get(f"/?{query}").text)


def test_before_the_first_photograph_there_is_a_page(tmp_path: Path) -> None:
    """With no ledger yet, and with an empty one."""
    client = WebClient(web_app(tmp_path))
    assert "Nothing has been colored yet." in words(client.get("/").text)
    archive(tmp_path, [])
    assert "Nothing has been colored yet." in words(client.get("/").text)


# Roles


def test_a_reader_sees_and_cannot_decide(config: Config, tmp_path: Path) -> None:
    """No box, no button; the requests are refused too."""
    client = WebClient(web_app(tmp_path, users={"ada": Role.READER}))
    client.log_in("ada")
    page = client.get("/").text

    assert config.state.exists()
    assert 30 == len(shown(page))
    assert 'data-decision="approved"' not in page
    assert 'class="chosen' not in page
    for path in ("/decisions", "/decisions/undo", "/photographs/1/note", "/photographs/1/claim"):
        assert 403 == client.post(path, json={"jobs": [1], "decision": "approved"}).status_code


# What the script asks for


def test_cards_are_brought_up_to_date(client: WebClient, config: Config) -> None:
    """Those on the page as they are now, the progress, and how many are new behind them."""
    page = client.get("/?below=0.5").text
    seen = re.search(r'"seen": ([\d.]+)', page)
    assert seen
    decide(config, [70], Decision.FLAGGED)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        add(config, ledger, "album 0/late.png", 72)
        add(config, ledger, "album 0/sure.png", 73)

    parts = client.get(f"/cards?below=0.5&cards=70.67.99&seen={seen[1]}").text
    assert [70, 67] == shown(parts)
    assert '<ol data-new="1" data-matches="24">' in parts
    assert "Flagged Ada" in words(parts)
    assert "1 of 24 decided" in words(parts)


# Samples


def test_a_sample_stays_the_same(client: WebClient, config: Config) -> None:
    """Its address lists it: reloaded, shared, after decisions and with new photographs."""
    drawn = client.get("/sample?n=12&folder=album+1&decision=open")
    place = drawn.headers["location"]
    first = shown(client.get(place).text)
    assert 12 == len(set(first))
    assert all(job % 2 == 0 for job in first)

    decide(config, first[:11], Decision.APPROVED)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        add(config, ledger, "album 1/late.png", 72)
    page = client.get(place).text
    assert first == shown(page)
    assert "11 of 12 seen, 11 approved" in words(page)
    assert "12 of 35 photographs, drawn at random" in words(page)
    decide(config, first[11:], Decision.REJECTED)
    page = words(client.get(place).text)
    assert "12 of 12 seen: 11 approved" in page
    assert "Rejected: 1" in page


def test_samples_differ_and_have_pages(client: WebClient) -> None:
    """Each one is drawn anew; a large one is shown in parts."""
    places = [client.get("/sample?n=45&view=grid").headers["location"] for _ in range(2)]
    assert places[0] != places[1]
    found, place = [], str(places[0])
    while place:
        text = client.get(place).text
        found += shown(text)
        place = link(text, "next") or ""

    assert 45 == len(set(found))


def test_a_sample_of_little_or_nothing(client: WebClient) -> None:
    """No more than there is; of nothing, words."""
    assert 1 == len(shown(client.get(client.get("/sample?n=9&word=42").headers["location"]).text))
    nothing = client.get(client.get("/sample?n=9&word=nix").headers["location"])
    assert "There is nothing to draw a sample from." in words(nothing.text)
    assert 400 == client.get("/sample?n=501").status_code
