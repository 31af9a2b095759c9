"""The gallery in a real browser: filters, pages, the grid pass, decisions of two reviewers."""

import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from service.config.loader import load_config
from service.ledger.jobs import Decision
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.web.users import Role, UsersFile
from tests.support.browser import NewPage
from tests.support.command import HASTY, Home
from tests.support.light_table import page_of
from tests.support.reviewable import add, archive

PASSWORD = "correct horse battery"  # noqa: S105 - of users in tests
USERS = {"ada": Role.REVIEWER, "ben": Role.REVIEWER, "rea": Role.READER}
NAMES = [f"album {number // 30}/photo {number:02}.png" for number in range(46)]
DAEMON = (sys.executable, "-m", "tests.support.fake_device_command")


class Reviewed:
    """An archive, and the page that shows it.

    Attributes:
        home: its folders.
        base: the page's address.
        config: its settings.
    """

    def __init__(self, home: Home, base: str) -> None:
        """Read its settings."""
        self.home, self.base = home, base
        self.config = load_config(home.folder / "config.yaml")

    def ledger(self) -> Ledger:
        """Open the ledger as another process would."""
        return Ledger(self.config.state / LEDGER_FILE)

    def logged(self) -> int:
        """Count the lines in the log of decisions by the users of the page."""
        with LedgerQueries.open(self.config.state / LEDGER_FILE) as queries:
            return sum(one.who in USERS for one in queries.gallery.decisions())

    def decisions(self) -> dict[int, Decision]:
        """Return what stands."""
        with LedgerQueries.open(self.config.state / LEDGER_FILE) as queries:
            return {job.id: job.decision for job in queries.all_jobs() if job.decision}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewed]:
    """Serve 46 results to three users."""
    folder = tmp_path_factory.mktemp("reviewed") / "home"
    home = Home(folder, f"{HASTY}web: {{users: users}}\n")
    users = UsersFile(folder / "users")
    for name, role in USERS.items():
        users.add(name, role, PASSWORD)
    archive(folder, NAMES, files=True)
    with page_of(home) as base:
        yield Reviewed(home, base)


@pytest.fixture
def reviewed(served: Reviewed) -> Reviewed:
    """Return the archive with nothing decided, and no new photographs."""
    with served.ledger() as ledger:
        jobs = [job.id for job in ledger.queries.all_jobs()]
        ledger.reviews.decide(jobs[: len(NAMES)], None, who="nobody", now=1.0)
        for late in jobs[len(NAMES) :]:
            ledger.forget(late)
        for name in USERS:
            ledger.reviews.release(None, name)
    return served


def log_in(page: Page, reviewed: Reviewed, name: str) -> Page:
    """Fill in the form."""
    page.goto(reviewed.base)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Photographs")
    page.wait_for_load_state()  # the scripts are there
    return page


@pytest.fixture
def ada(page: Page, reviewed: Reviewed) -> Page:
    """Open a browser in which Ada is logged in."""
    return log_in(page, reviewed, "ada")


def card(page: Page, name: str) -> Locator:
    """Return the card of a photograph."""
    return page.locator(".photo").filter(has_text=name)


def names(page: Page) -> list[str]:
    """Return the names on the page, in their order, once all of it is there."""
    page.wait_for_load_state()
    return page.locator(".photo-name a").all_inner_texts()


def expect_names(page: Page, numbers: Iterable[int]) -> None:
    """Wait for the page that shows just these photographs, in this order."""
    expect(page.locator(".photo-name a")).to_have_text([f"photo {one:02}.png" for one in numbers])


# Looking


def test_a_filter_is_a_form_and_pages_lead_on_and_back(ada: Page) -> None:
    """Folder by folder, words, then on and back to the same photographs."""
    ada.get_by_text("Subfolders").click()
    ada.get_by_role("link", name="album 0/").first.click()
    expect_names(ada, range(29, -1, -1))
    ada.get_by_role("link", name="All folders").click()
    expect_names(ada, range(45, 15, -1))
    ada.get_by_role("link", name="Next page").click()
    expect_names(ada, range(15, -1, -1))
    ada.get_by_role("link", name="Previous page").click()
    expect_names(ada, range(45, 15, -1))

    ada.get_by_label("Word in the name").fill("PHOTO 4")
    ada.get_by_text("More filters").click()
    ada.get_by_label("Confidence below").fill("0.5")
    ada.get_by_role("button", name="Show", exact=True).click()
    expect_names(ada, (45, 42))
    ada.get_by_role("link", name="Clear filters").click()
    expect(ada.locator(".photo")).to_have_count(30)


def test_filters_work_without_a_script(new_page: NewPage, reviewed: Reviewed) -> None:
    """And what needs one is not shown."""
    page = log_in(new_page(java_script_enabled=False), reviewed, "ada")
    page.get_by_label("Word in the name").fill("photo 07")
    page.get_by_role("button", name="Show", exact=True).click()

    assert ["photo 07.png"] == names(page)
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    expect(page.get_by_alt_text("photo 07.png, scan")).to_be_visible()


def test_pictures_are_shown_and_keep_their_place(
    ada: Page, reviewed: Reviewed, problems: list[str]
) -> None:
    """Both sides come from the server; a card is as high before as after they are there."""
    ada.route("**/images/**", lambda route: route.abort())
    ada.goto(f"{reviewed.base}/?view=grid")
    before = ada.locator(".photo").first.bounding_box()
    ada.unroute("**/images/**")
    problems.clear()  # the browser's own lines about them
    ada.goto(f"{reviewed.base}/?view=grid")
    loaded = "node => node.naturalWidth && new URL(node.currentSrc).pathname"
    for side in ("scan", "colored by a machine"):
        picture = ada.get_by_alt_text(f"photo 45.png, {side}")
        expect(picture).to_have_js_property("complete", value=True)
        assert re.fullmatch(r"/images/46/.*/thumbnail(-480)?\.jpg", picture.evaluate(loaded))

    assert before == ada.locator(".photo").first.bounding_box()


def test_holding_shows_the_scan(ada: Page, reviewed: Reviewed) -> None:
    """By pointer and by key, with its label; a short click opens the photograph instead."""
    ada.goto(f"{reviewed.base}/?view=grid")
    one = card(ada, "photo 44")
    scan = one.locator(".scan")
    expect(scan).to_be_hidden()
    expect(one.get_by_text("colored by a machine")).to_be_visible()
    box = one.locator(".photo-pair").bounding_box()
    assert box
    ada.mouse.move(box["x"] + 50, box["y"] + 50)
    ada.mouse.down()
    expect(one.get_by_text("scan", exact=True)).to_be_visible()
    ada.wait_for_function(
        "at => performance.now() - at > 400", arg=ada.evaluate("performance.now()")
    )
    ada.mouse.up()
    expect(scan).to_be_hidden()
    assert "/?view=grid" in ada.url

    ada.locator(".photo-pair").first.focus()
    ada.keyboard.press("ArrowRight")
    expect(one.locator(".photo-pair")).to_be_focused()
    ada.keyboard.down("Space")
    expect(scan).to_be_visible()
    ada.keyboard.up("Space")
    expect(scan).to_be_hidden()
    ada.keyboard.down("s")
    expect(ada.locator(".scan:visible")).to_have_count(20)
    ada.keyboard.up("s")
    ada.keyboard.press("Enter")
    ada.wait_for_url("**/photographs/45?view=grid")


def test_a_finger_sees_the_scan(new_page: NewPage, reviewed: Reviewed) -> None:
    """On a phone too."""
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    log_in(page, reviewed, "ada").goto(f"{reviewed.base}/?view=grid")
    pair = page.locator(".photo-pair").first
    pair.scroll_into_view_if_needed()
    pair.dispatch_event("pointerdown", {"button": 0, "pointerType": "touch"})
    expect(page.locator(".scan").first).to_be_visible()
    page.locator("body").dispatch_event("pointerup", {"pointerType": "touch"})
    expect(page.locator(".scan").first).to_be_hidden()


# Deciding


def test_keys_decide_and_move_on(ada: Page, reviewed: Reviewed) -> None:
    """A, F, R with a reason; the same again takes it back; U undoes; arrows move by rows."""
    ada.goto(f"{reviewed.base}/?view=grid")
    ada.keyboard.press("ArrowRight")
    expect(ada.locator(".photo-pair").first).to_be_focused()
    ada.keyboard.press("a")
    expect(card(ada, "photo 45").locator(".verdict")).to_contain_text("Approved")
    expect(card(ada, "photo 44").locator(".photo-pair")).to_be_focused()
    ada.keyboard.press("f")
    expect(card(ada, "photo 44").locator(".verdict")).to_contain_text("Flagged")
    expect(card(ada, "photo 43").locator(".photo-pair")).to_be_focused()
    ada.keyboard.press("r")
    expect(ada.get_by_role("dialog", name="Reject photo 43.png")).to_be_visible()
    ada.keyboard.press("2")
    ada.keyboard.press("Enter")
    expect(card(ada, "photo 43").locator(".verdict")).to_contain_text("patches")
    expect(ada.locator("#progress")).to_contain_text("3 of 46 decided, 33 % approved")
    assert {46: "approved", 45: "flagged", 44: "rejected"} == reviewed.decisions()

    ada.keyboard.press("ArrowDown")
    ada.keyboard.press("ArrowUp")
    expect(card(ada, "photo 42").locator(".photo-pair")).to_be_focused()
    ada.keyboard.press("u")
    expect(card(ada, "photo 43").locator(".verdict")).to_have_count(0)
    card(ada, "photo 45").get_by_role("button", name="Approve").click()
    expect(card(ada, "photo 45").locator(".verdict")).to_have_count(0)
    assert {45: "flagged"} == reviewed.decisions()


def test_a_rejection_can_be_called_off(ada: Page, reviewed: Reviewed) -> None:
    """By Escape and by its button; nothing is decided."""
    reject = card(ada, "photo 45").get_by_role("button", name="Reject")
    reject.click()
    ada.keyboard.press("Escape")
    expect(ada.locator("#deciding")).to_be_hidden()
    expect(reject).to_be_focused()
    reject.click()
    ada.get_by_role("button", name="Cancel").click()
    expect(ada.locator("#deciding")).to_be_hidden()

    assert {} == reviewed.decisions()


def test_a_selection_is_decided_on_after_a_question(ada: Page, reviewed: Reviewed) -> None:
    """A range by Shift, one less, a question with the count, a reason in own words; undo."""
    bar = ada.get_by_role("toolbar")
    expect(bar.get_by_role("button", name="Approve")).to_be_disabled()
    card(ada, "photo 45").get_by_role("checkbox").check()
    card(ada, "photo 41").get_by_role("checkbox").click(modifiers=["Shift"])
    card(ada, "photo 43").get_by_role("checkbox").uncheck()
    expect(bar).to_contain_text("4 chosen")
    bar.get_by_role("button", name="Reject").click()
    dialog = ada.get_by_role("dialog", name="Reject 4 photographs?")
    dialog.get_by_label("In other words").fill("too green")
    dialog.get_by_label("Note").fill("all of that day")
    dialog.get_by_role("button", name="Reject").click()

    expect(ada.locator(".photo .verdict.rejected")).to_have_count(4)
    expect(card(ada, "photo 42").locator(".verdict")).to_contain_text("ada: too green")
    expect(card(ada, "photo 42")).to_contain_text("all of that day")
    expect(bar).to_contain_text("0 chosen")
    assert {46, 45, 43, 42} == set(reviewed.decisions())
    ada.locator(".notice").get_by_role("button", name="Undo").click()
    expect(ada.locator(".photo .verdict")).to_have_count(0)
    assert {} == reviewed.decisions()


def test_all_that_is_filtered_is_decided_on(ada: Page, reviewed: Reviewed) -> None:
    """Over its pages; what is not in the filter stays."""
    ada.goto(f"{reviewed.base}/?below=0.5&view=grid")
    ada.get_by_role("checkbox", name="This page").check()
    expect(ada.get_by_role("toolbar")).to_contain_text("16 chosen")
    ada.goto(f"{reviewed.base}/?decision=open")
    card(ada, "photo 45").get_by_role("button", name="Approve").click()
    ada.get_by_role("button", name="All 45", exact=True).click()
    expect(ada.get_by_role("toolbar")).to_contain_text("45 chosen")
    ada.get_by_role("toolbar").get_by_role("button", name="Approve").click()
    dialog = ada.get_by_role("dialog", name="Approve 45 photographs?")
    expect(dialog).to_contain_text("on all its pages")
    dialog.get_by_role("button", name="Approve").click()

    expect(ada.locator("#progress")).to_contain_text("46 of 46 decided, 100 % approved")
    assert 46 == len(reviewed.decisions())


def test_another_count_than_was_shown_is_told(
    ada: Page, reviewed: Reviewed, problems: list[str]
) -> None:
    """Somebody decided meanwhile: nothing happens, and one looks again."""
    ada.goto(f"{reviewed.base}/?decision=open")
    ada.get_by_role("button", name="All 46", exact=True).click()
    ada.get_by_role("toolbar").get_by_role("button", name="Approve").click()
    with reviewed.ledger() as ledger:
        ledger.reviews.decide([7], Decision.FLAGGED, who="ben", now=1.0)
    ada.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(ada.get_by_role("alert")).to_contain_text("nothing was decided")
    assert {7: "flagged"} == reviewed.decisions()
    ada.get_by_role("button", name="Look again").click()

    expect(ada.get_by_role("button", name="All 45", exact=True)).to_be_visible()
    assert ["409" in line for line in problems] == [True]
    problems.clear()  # the browser's own line about the 409


# What happens meanwhile


def test_news_wait_to_be_asked_for(ada: Page, reviewed: Reviewed) -> None:
    """New photographs are counted, what others decide is shown in place; nothing moves."""
    before = names(ada)
    with reviewed.ledger() as ledger:
        ledger.reviews.decide([44], Decision.REJECTED, who="ben", now=1.0, reason="wrong thing")
        expect(card(ada, "photo 43").locator(".verdict")).to_contain_text("ben: wrong thing")
        ledger.reviews.undo("ben", 2.0)
        expect(card(ada, "photo 43").locator(".verdict")).to_have_count(0)
        for number in (50, 51):
            add(reviewed.config, ledger, f"album 9/photo {number}.png", number, files=True)

    expect(ada.locator("#news")).to_have_text("2 new: show")
    assert before == names(ada)
    ada.locator("#news a").click()
    expect(ada.locator(".photo-name a").first).to_have_text("photo 51.png")


# Samples


def test_a_sample_tells_whether_all_is_well(ada: Page, reviewed: Reviewed) -> None:
    """Drawn once; its address keeps it; at the end it says how many were approved."""
    ada.goto(f"{reviewed.base}/?folder=album+0&view=grid")
    ada.get_by_label("Photographs", exact=True).fill("5")
    ada.get_by_role("button", name="Draw a random sample of these 30").click()
    expect(ada.get_by_role("heading", level=1)).to_have_text("Random sample")
    drawn = names(ada)
    assert 5 == len(set(drawn))
    ada.reload()
    assert drawn == names(ada)
    ada.get_by_role("checkbox", name="This page").check()
    ada.locator(".photo .chosen").first.uncheck()
    ada.get_by_role("toolbar").get_by_role("button", name="Approve").click()
    ada.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(ada.locator("#progress")).to_contain_text("4 of 5 seen, 4 approved")
    ada.locator(".photo-pair").first.focus()
    ada.keyboard.press("f")
    expect(ada.locator("#progress")).to_contain_text("5 of 5 seen: 4 approved")
    assert 5 == len(reviewed.decisions())


# Two reviewers


def test_two_browsers_never_get_the_same_photograph(new_page: NewPage, reviewed: Reviewed) -> None:
    """Each goes on one by one; a photograph that one opens by its address says who has it."""
    ada, ben = (log_in(new_page(), reviewed, name) for name in ("ada", "ben"))
    seen: dict[str, list[str]] = {"ada": [], "ben": []}
    for page in (ada, ben):
        page.get_by_role("link", name="Review one by one").click()
        page.wait_for_url("**/photographs/*")
    for _ in range(4):
        for name, page in (("ada", ada), ("ben", ben)):
            seen[name].append(page.url)
            here = page.url
            page.locator("#approve").click()
            page.wait_for_url(lambda url, here=here: url != here)
    assert not set(seen["ada"]) & set(seen["ben"])
    assert 8 == len({*seen["ada"], *seen["ben"]}) == len(reviewed.decisions())

    first = ada.url
    ben.goto(first)
    expect(ben.locator("#claimed")).to_contain_text("ada")
    ada.goto(f"{reviewed.base}/service")
    with ben.expect_response("**/claim") as claimed:
        ben.reload()
    assert {"by": None} == claimed.value.json()


@pytest.mark.slow
def test_a_thousand_decisions_beside_a_daemon(reviewed: Reviewed) -> None:
    """Two reviewers and a daemon that colors sixty scans: no request fails on a locked ledger."""
    faults: list[Any] = []
    before = reviewed.logged()

    def review(name: str) -> None:
        with httpx.Client(base_url=reviewed.base, headers={"Accept": "text/html"}) as client:
            token = _csrf(client.get("/log-in").text)
            form = {"name": name, "password": PASSWORD, "csrf_token": token}
            client.post("/log-in", data=form)
            headers = {"X-CSRF-Token": _csrf(client.get("/").text), "Accept": "application/json"}
            for number in range(500):
                decision = ("approved", "rejected", "flagged", None)[number % 4]
                sent = {"jobs": [1 + number % 40], "decision": decision}
                answer = client.post("/decisions", json=sent, headers=headers)
                if answer.json() != {"changed": 1}:
                    faults.append(answer.text)

    with reviewed.home.start("run", program=DAEMON) as daemon:
        daemon.wait_for("daemon.started")
        for number in range(60):
            reviewed.home.drop(f"album 7/{number}.png")
        reviewers = [threading.Thread(target=review, args=(name,)) for name in ("ada", "ben")]
        for thread in reviewers:
            thread.start()
        for thread in reviewers:
            thread.join()
        daemon.wait_for("photo.moved", times=60)
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.exit_code(), daemon.said

    assert [] == faults
    assert "locked" not in daemon.said
    assert 1000 == reviewed.logged() - before


def _csrf(page: str) -> str:
    return page.partition('name="csrf-token" content="')[2].partition('"')[0]


# Looks


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_shut_out(
    new_page: NewPage,
    reviewed: Reviewed,
    serious_violations: Callable[[Page], list[str]],
    theme: str,
) -> None:
    """List, grid, sample, dialog and an empty page, by axe-core; nothing scrolls sideways."""
    with reviewed.ledger() as ledger:
        for number, decision in enumerate(Decision):
            ledger.reviews.decide([46 - number], decision, who="ben", now=1.0, reason="patches")
    page = log_in(new_page(color_scheme=theme), reviewed, "ada")
    for path in ("/", "/?view=grid", "/?state=held", "/sample?n=3"):
        page.goto(f"{reviewed.base}{path}")
        for width in (390, 1280, 2560):
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (path, width)
        assert [] == serious_violations(page), path
    page.locator(".photo").first.get_by_role("button", name="Reject").click()
    assert [] == serious_violations(page)


def test_the_page_speaks_chinese(new_page: NewPage, reviewed: Reviewed) -> None:
    """Its script too."""
    page = new_page(locale="zh-CN")
    page.goto(reviewed.base)
    page.get_by_label("用户名").fill("ada")
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_role("button", name="登录").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("照片")
    page.wait_for_load_state()  # the scripts are there
    card(page, "photo 45").get_by_role("button", name="通过", exact=False).first.click()

    expect(page.locator(".notice")).to_contain_text("已通过 1 张照片")
    expect(page.locator("#progress")).to_contain_text("已审核 1 张")
