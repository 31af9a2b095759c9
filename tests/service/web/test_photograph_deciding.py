"""Decisions on the photograph's page: by its keys, kept in the ledger, on to the next open one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from service.config.loader import load_config
from service.ledger.jobs import Decision, Job
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance import review
from tests.support.command import Home
from tests.support.light_table import LARGE, PAGES, SMALL, LightTable, shown
from tests.support.waiting import wait_until


@pytest.fixture
def table(archive: Home, tmp_path: Path) -> Iterator[LightTable]:
    """Serve a copy of the archive to one test, which decides on its photographs."""
    with shown(archive, tmp_path / "home") as one:
        yield one


def open_page(page: Page, table: LightTable, name: str) -> None:
    """Open a photograph's page, and wait until its script listens."""
    page.goto(table.url(name))
    page.wait_for_selector("#stages[aria-busy=false]")


def job_of(table: LightTable, name: str) -> Job:
    """Return what the ledger says of a photograph."""
    with LedgerQueries.open(table.home.folder / "state" / LEDGER_FILE) as ledger:
        found = ledger.job(table.job(name))
    assert found
    return found


def test_keys_decide_and_go_on(table: LightTable, page: Page) -> None:
    """A approves, F flags, each leads to another open photograph; U takes the last one back."""
    open_page(page, table, LARGE)
    page.keyboard.press("a")
    page.wait_for_url(lambda url: not url.endswith(f"/{table.job(LARGE)}"))
    page.wait_for_selector("#stages[aria-busy=false]")
    second = int(page.url.rpartition("/")[2])
    page.keyboard.press("f")
    page.wait_for_url(lambda url: not url.endswith(f"/{second}"))
    page.wait_for_selector("#stages[aria-busy=false]")
    page.keyboard.press("u")
    page.wait_for_url(f"**/photographs/{second}")
    expect(page.locator(".standing")).to_contain_text("Open")

    assert Decision.APPROVED is job_of(table, LARGE).decision
    with LedgerQueries.open(table.home.folder / "state" / LEDGER_FILE) as ledger:
        records = ledger.gallery.decisions_of(second)
    assert [(Decision.FLAGGED, True)] == [
        (one.decision, one.undone_at is not None) for one in records
    ]


def test_a_rejection_has_a_reason(table: LightTable, page: Page) -> None:
    """From the list or free; the page of the photograph tells it."""
    open_page(page, table, SMALL[0])
    page.keyboard.press("r")
    page.get_by_label("color wash").check()
    page.locator("#reject-dialog").get_by_role("button", name="Reject").click()
    page.wait_for_url(lambda url: not url.endswith(f"/{table.job(SMALL[0])}"))
    open_page(page, table, SMALL[1])
    page.keyboard.press("r")
    page.get_by_label("Other reason").fill("the tram was red")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: not url.endswith(f"/{table.job(SMALL[1])}"))
    open_page(page, table, SMALL[1])

    expect(page.locator(".standing")).to_contain_text("Rejected")
    expect(page.locator(".history")).to_contain_text("the tram was red")
    with LedgerQueries.open(table.home.folder / "state" / LEDGER_FILE) as ledger:
        reasons = [ledger.gallery.decisions_of(table.job(name))[0].reason for name in SMALL[:2]]
    assert ["color wash", "the tram was red"] == reasons


def test_the_same_decision_again_takes_it_back(table: LightTable, page: Page) -> None:
    """As a second press of the same key does in every light table."""
    open_page(page, table, LARGE)
    page.keyboard.press("a")
    page.wait_for_url(lambda url: not url.endswith(f"/{table.job(LARGE)}"))
    open_page(page, table, LARGE)
    expect(page.locator("#approve")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("a")
    expect(page.locator(".standing")).to_contain_text("Open")

    assert job_of(table, LARGE).decision is None


def test_a_number_chooses_the_reason(table: LightTable, page: Page) -> None:
    """Then Enter rejects; the next page says what was done, and undoing it says so as well."""
    open_page(page, table, SMALL[2])
    for key in ("r", "2", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url(lambda url: not url.endswith(f"/{table.job(SMALL[2])}"))
    expect(page.get_by_text(f"Rejected: {SMALL[2].rpartition('/')[2]}")).to_be_visible()
    page.wait_for_selector("#stages[aria-busy=false]")
    page.keyboard.press("u")
    page.wait_for_url(f"**/photographs/{table.job(SMALL[2])}")
    expect(page.get_by_text("Your last decision is undone")).to_be_visible()

    with LedgerQueries.open(table.home.folder / "state" / LEDGER_FILE) as ledger:
        (record,) = ledger.gallery.decisions_of(table.job(SMALL[2]))
    assert ("patches", True) == (record.reason, record.undone_at is not None)


def test_a_note_is_kept_with_its_writer(table: LightTable, page: Page) -> None:
    """The decision stays as it is."""
    open_page(page, table, PAGES)
    page.keyboard.press("n")
    page.locator("#note-text").fill("see album 4, page 7")
    page.get_by_role("button", name="Keep note").click()

    expect(page.locator(".history")).to_contain_text("see album 4, page 7")
    assert job_of(table, PAGES).decision is None


def test_back_leads_to_the_one_before(table: LightTable, page: Page) -> None:
    """In the order of the gallery that one came from, whose filter stays in the address."""
    page.goto(f"{table.base}/?folder=street&order=oldest")
    first, second = (  # the daemon finished them in an order of its own
        str(link.get_attribute("href")) for link in page.locator(".photo-name a").all()[:2]
    )
    page.goto(f"{table.base}{first}")
    page.wait_for_selector("#stages[aria-busy=false]")
    page.keyboard.press("j")
    page.wait_for_url(f"{table.base}{second}")
    page.wait_for_selector("#stages[aria-busy=false]")
    page.keyboard.press("k")
    page.wait_for_url(f"{table.base}{first}")

    assert "folder=street" in first
    assert "folder=street" in second


def test_one_returns_to_the_gallery_as_it_was(table: LightTable, page: Page) -> None:
    """From the second photograph of a filter: its photographs, its order, its grid."""
    page.goto(f"{table.base}/?folder=street&order=oldest&view=grid")
    second = str(page.locator(".photo-name a").nth(1).get_attribute("href"))
    page.locator(".photo-name a").first.click()
    page.wait_for_selector("#stages[aria-busy=false]")
    page.keyboard.press("j")
    page.wait_for_url(f"{table.base}{second}")
    page.get_by_role("link", name="‹ Photographs").click()  # noqa: RUF001 - the sign on the page

    expect(page.locator("#photos.grid .photo")).to_have_count(len(SMALL))
    assert {"folder=street", "order=oldest", "view=grid"} == set(page.url.split("?")[1].split("&"))


def test_another_reviewer_is_announced(table: LightTable, page: Page) -> None:
    """Who was first is named; leaving the page gives the photograph back."""
    config = load_config(table.home.folder / "config.yaml")
    review.claim(config, table.job(LARGE), who="ben")
    open_page(page, table, LARGE)
    expect(page.locator("#claimed")).to_have_text("ben is looking at this one.")
    open_page(page, table, SMALL[0])
    assert review.claim(config, table.job(SMALL[0]), who="ben")
    page.goto("about:blank")

    wait_until(lambda: review.claim(config, table.job(SMALL[0]), who="ben") is None, 30)
