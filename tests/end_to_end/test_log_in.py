"""Log-in, roles and log-out in a real browser, against the real server."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from service.web.users import Role, UsersFile
from tests.support.browser import NewPage
from tests.support.command import HASTY, Home
from tests.support.light_table import page_of
from tests.support.web_client import PASSWORD


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Make a service with a user of each role."""
    made = Home(tmp_path_factory.mktemp("log-in") / "home", HASTY + "web: {users: people}\n")
    for role in Role:
        UsersFile(made.folder / "people").add(f"the {role}", role, PASSWORD)
    (made.folder / "people").chmod(0o600)
    return made


@pytest.fixture(scope="module")
def base(home: Home) -> Iterator[str]:
    """Serve the page."""
    with page_of(home) as address:
        yield address


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Fill in the form."""
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_log_in_leads_to_what_was_asked_for(page: Page, base: str, problems: list[str]) -> None:
    """A wrong password is told; the right one opens the page; after the log-out it is closed."""
    page.goto(f"{base}/service?rejected=all")
    log_in(page, "the reviewer", "a wrong password")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    log_in(page, "the reviewer")
    expect(page).to_have_url(f"{base}/service?rejected=all")
    expect(page.get_by_role("heading", name="Add scans")).to_be_visible()
    page.locator(".menu summary").click()
    expect(page.locator(".menu-who")).to_contain_text("the reviewer")
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{base}/service")

    expect(page.get_by_label("Password")).to_be_visible()
    problems[:] = [one for one in problems if "403" not in one]  # of the wrong password


def test_roles_decide_what_is_offered(new_page: NewPage, base: str) -> None:
    """Readers see no drop zone; only the operator may promote."""
    seen = {}
    for role in Role:
        page = new_page()
        page.goto(f"{base}/models")
        log_in(page, f"the {role}")
        expect(page.get_by_role("heading", name="Model versions")).to_be_visible()
        promotes = page.locator("#confirm").count()
        page.goto(f"{base}/service")
        seen[role] = (page.locator("#drop-zone").count(), promotes)

    assert {Role.READER: (0, 0), Role.REVIEWER: (1, 0), Role.OPERATOR: (1, 1)} == seen


def test_a_removed_user_sees_no_more(
    page: Page, base: str, home: Home, problems: list[str]
) -> None:
    """The page that is open hears nothing, and the next request leads to the log-in."""
    users = UsersFile(home.folder / "people")
    users.add("guest", Role.READER, PASSWORD)
    page.goto(f"{base}/service")
    log_in(page, "guest")
    expect(page.locator("#headline")).to_have_text("photochrom is not running")
    users.remove("guest")
    page.get_by_role("link", name="Models").click()

    expect(page.get_by_label("Password")).to_be_visible()
    problems[:] = [one for one in problems if "401" not in one]  # of the open stream


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_shut_out(
    new_page: NewPage,
    serious_violations: Callable[[Page], list[str]],
    base: str,
    theme: str,
) -> None:
    """axe-core finds nothing serious on the log-in page, at any width, in both languages."""
    for language in ("en", "zh-CN"):
        for width in (390, 1280, 2560):
            page = new_page(
                viewport={"width": width, "height": 900}, color_scheme=theme, locale=language
            )
            page.goto(f"{base}/log-in")
            assert [] == serious_violations(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
