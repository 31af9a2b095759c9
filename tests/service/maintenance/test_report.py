"""The report of `photochrom report`: whole, true, safe to open anywhere, and fit to print."""

import csv
import errno
import io
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import cv2
import pytest
from lxml import html
from playwright.sync_api import Page
from rich.console import Console

from service.config.folder_sections import FolderSettings
from service.config.loader import Config
from service.ledger.jobs import Decision
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance import report as making
from service.maintenance.picture_cache import FOLDER, PictureCache
from service.maintenance.pyramid_maker import PyramidMaker, Wanted
from service.maintenance.report import ReportResult, make_report, moment, print_report_result
from service.maintenance.report_entries import Scope, Summary
from service.maintenance.report_pages import index_page
from tests.support.delivered_results import REASON, color, finish, place, queue, reject
from tests.support.iiif_files import read_jpeg
from tests.support.synthetic_photos import Array, color_scene, gray_scene
from worker.errors import DeviceError
from worker.settings import ColorPoint, ColorWishes, Reference


def png(pixels: Array) -> bytes:
    """Encode pixels, gray or RGB."""
    return cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()


GRAY, COLORED = png(gray_scene(60, 80)), png(color_scene(60, 80))
EVERYTHING = Scope()
NAMES = ("1931/a.png", "1931/B.png", "c.png")
HOSTILE = '<script>alert(1)<_script>"&\u202e\udce9.png'


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place where three photographs were colored, one was rejected, and one waits."""
    config = place(tmp_path / "home")
    for name in NAMES:
        color(config, name, scan=GRAY, result=COLORED)
    reject(config, "broken.png", GRAY)
    queue(config, "new.png", GRAY)
    return config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Name a report in a folder that does not exist yet."""
    return tmp_path / "reports" / "delivery"


def made(config: Config, folder: Path, scope: Scope = EVERYTHING) -> ReportResult:
    """Make a report without a progress bar."""
    return make_report(config, folder, scope, lambda *_: None)


def parsed(folder: Path, name: str = "index.html") -> html.HtmlElement:
    """Parse a page, strictly as UTF-8."""
    return html.fromstring((folder / name).read_bytes().decode("utf-8"))


def words(folder: Path, name: str) -> list[str]:
    """Return the texts of a sheet's photographs, each on one line."""
    return [
        " ".join(one.text_content() for one in article.iter("h2", "figcaption", "p"))
        for article in parsed(folder, name).iter("article")
    ]


def rows(folder: Path) -> list[dict[str, str]]:
    """Read the table as a spreadsheet does, which tells UTF-8 by its first bytes."""
    with (folder / "photographs.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def decide(config: Config, job: int, decision: Decision, who: str, **texts: str) -> None:
    """Decide on a result, at noon of January 15, 2027."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.reviews.decide([job], decision, who=who, now=1_800_000_000.0, **texts)


def test_each_photograph_is_shown_before_and_after(config: Config, folder: Path) -> None:
    """By path; both pictures are there, labeled, in their proportion, under the right names."""
    result = made(config, folder)
    articles = list(parsed(folder, "sheet-0001.html").iter("article"))
    images = [image for one in articles for image in one.iter("img")]

    assert ["1931/a.png", "1931/B.png", "c.png"] == [one.findtext("h2") for one in articles]
    assert ["Scan", "Colored by a machine"] * 3 == [
        one.text for article in articles for one in article.iter("figcaption")
    ]
    assert [(60, 80)] * 6 == [read_jpeg(folder / one.get("src")).shape[:2] for one in images]
    assert all(one.get("alt") for one in images)
    assert (3, 1, 0) == (
        result.summary.colored,
        result.summary.rejected,
        result.summary.without_picture,
    )


def test_pictures_that_the_review_page_has_made_are_taken(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In either size; only the others are made. A file that was altered still has none."""
    cache = PictureCache(config.state / FOLDER, 1.0)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        first, second = ledger.queries.by_ids([1, 2])
    assert (first.output_digest, first.digest) == (second.output_digest, second.digest)
    kept = [
        cache.thumbnail(first.digest, 0, 240),
        cache.thumbnail(str(first.output_digest), 0, 480),
    ]
    for path, text in zip(kept, (b"the scan's", b"the result's"), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    (config.originals.folder / "c.png").write_bytes(b"altered")
    asked: list[str] = []
    real = PyramidMaker.thumbnails

    def thumbnails(maker: PyramidMaker, wanted: Sequence[Wanted]) -> Any:
        asked.extend(one.target.name for one in wanted)
        return real(maker, wanted)

    monkeypatch.setattr(PyramidMaker, "thumbnails", thumbnails)
    made(config, folder)

    pictures = folder / "images/0001"
    assert b"the scan's" == (pictures / "1-scan.jpg").read_bytes()
    assert b"the result's" == (pictures / "2-colored.jpg").read_bytes()
    assert [] == [name for name in asked if not name.startswith("4-")]
    assert "no picture: the original" in words(folder, "sheet-0001.html")[2]


def test_the_first_page_tells_of_all(config: Config, folder: Path) -> None:
    """Numbers, versions with their weights, reviewers, why scans were rejected, what is a guess."""
    decide(config, 1, Decision.APPROVED, "Käthe")
    decide(config, 2, Decision.REJECTED, "Li", reason="red sea")
    made(config, folder)
    page = parsed(folder)
    tables = [
        [[cell.text_content() for cell in row] for row in table.iter("tr")]
        for table in page.iter("table")
    ]

    assert [
        ["Photographs colored", "3"],
        ["of them approved by a reviewer", "1"],
        ["rejected by a reviewer", "1"],
        ["not decided on", "1"],
        ["Scans rejected, and not colored", "1"],
    ] == tables[0]
    assert ["7", "3", "d" * 64] == tables[1][1]
    assert [["Käthe", "1", "0", "0"], ["Li", "0", "1", "0"]] == tables[2][1:]
    assert [REASON, "1"] == tables[3][1]
    assert "no record" in page.text_content()
    assert "All folders, from the first photograph to the last" in page.text_content()


def test_decisions_and_states_are_told(config: Config, folder: Path) -> None:
    """Who, when and why; what was undone is not; held, fetched and waiting results too."""
    decide(config, 1, Decision.APPROVED, "Käthe", note="as I remember it")
    decide(config, 2, Decision.FLAGGED, "Li")
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.reviews.undo("Li", 1_800_000_001.0)
        ledger.reviews.mark_fetched([3], 1_800_000_000.0)
        ledger.recolor([2], 1_800_000_000.0)
    (config.outbox / "c.png").unlink()
    made(config, folder)
    first, second, third = words(folder, "sheet-0001.html")
    local = f"{datetime.fromtimestamp(1_800_000_000.0).astimezone():%Y-%m-%d %H:%M}"

    assert f"Approved by Käthe on {local}: as I remember it" in first
    assert "Li" not in second
    assert "It is to be recolored; this is the earlier result." in second
    assert "no picture: taken out of the outbox" in third
    assert f"The result was taken out of the outbox on {local}." in third


def test_who_said_which_color_is_told(config: Config, folder: Path) -> None:
    """With a swatch, the place and the evidence; on the first page by person; and in the table."""
    point = ColorPoint(0.25, 0.5, "#7a1f2b", who="Ada", source="<inv. 7>")
    like = Reference("sunset.jpg", "a" * 64, ((20, 40, 1000),), "Li", "its date")
    job = queue(config, "said.png", GRAY)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        asked = FolderSettings.of(
            ColorWishes(vividness=60.0, warmth=-5.0, points=(point,), variant=2, reference=like)
        )
        ledger.override_settings(job.id, asked)
        claimed = {one.id: one for one in ledger.claim(9, 0.0, in_flight=0)}
        finish(config, ledger, claimed[job.id], result=COLORED)
    made(config, folder)
    text = words(folder, "sheet-0001.html")[-1]
    told = "#7a1f2b at 25 %, 50 %, said by Ada: <inv. 7>"
    row = rows(folder)[3]

    assert told in text
    wished = "vividness 60, warmth -5, variant 2, colored like sunset.jpg, chosen by Li: its date"
    assert f"Wished: {wished}." in text
    assert ["background: #7a1f2b"] == parsed(folder, "sheet-0001.html").xpath("//span/@style")
    assert ("said.png", told) == (row["scan"], row["colors said"])
    assert wished == row["wished"]
    assert ["Person Photographs", "Ada 1"] == [
        " ".join(cell.text_content() for cell in line)
        for line in list(parsed(folder).iter("table"))[2].iter("tr")
    ]


def test_rejected_scans_have_sheets_of_their_own(config: Config, folder: Path) -> None:
    """With the reason, and no second picture."""
    made(config, folder)
    (text,) = words(folder, "rejected-0002.html")

    assert text.startswith("broken.png Scan Job 4. Rejected on ")
    assert text.endswith(f": {REASON}")


def test_a_picture_that_cannot_be_made_is_explained(config: Config, folder: Path) -> None:
    """Files that are gone, changed or no images; the report is made all the same."""
    color(config, "d.png")
    (config.originals.folder / "1931/a.png").unlink()
    (config.outbox / "c.png").write_bytes(b"touched up")
    result = made(config, folder)
    first, _, third, fourth = words(folder, "sheet-0001.html")

    assert "no picture: the original is gone" in first
    assert "was changed: its SHA-256 differs" in third
    assert 2 == fourth.count("no picture: not an image")
    assert 3 == result.summary.without_picture


def test_the_sheets_follow_each_other(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of so many photographs; every link and picture of every page leads to a file."""
    monkeypatch.setattr(making, "ON_A_SHEET", 2)
    made(config, folder)
    pages = sorted(path.name for path in folder.glob("*.html"))
    links = {
        name: [
            unquote(one)
            for one in parsed(folder, name).xpath("//@href | //@src")
            if not one.startswith("data:")
        ]
        for name in pages
    }

    assert ["index.html", "rejected-0003.html", "sheet-0001.html", "sheet-0002.html"] == pages
    assert ["index.html", "sheet-0001.html", "rejected-0003.html"] == links["sheet-0002.html"][:3]
    assert all((folder / one).is_file() for name in pages for one in links[name])
    assert (2, 1) == tuple(len(words(folder, name)) for name in pages[2:])


def test_no_page_runs_or_loads_anything(config: Config, folder: Path) -> None:
    """No script, no other host, no way for a name, reason or note to become markup."""
    color(config, HOSTILE, scan=GRAY, result=COLORED)
    decide(config, 6, Decision.REJECTED, "<b>Li</b>", reason="<i>", note='"><img src=x>\x1b[2J')
    made(config, folder)
    for path in folder.glob("*.html"):
        page = parsed(folder, path.name)
        assert not list(page.iter("script", "b", "i", "iframe", "object", "form"))
        assert not [one for one in page.xpath("//@*") if re.match(r"https?:|//|javascript:", one)]
        assert not page.xpath("//@*[starts-with(name(), 'on')]")
        assert "\x1b" not in page.text_content()
    text = words(folder, "sheet-0001.html")[2]

    assert r'<script>alert(1)<_script>"&\u202e\udce9.png' in text
    assert "Rejected by <b>Li</b> on 2027-01-1" in text
    assert r'<i>; "><img src=x>\x1b[2J' in text


def test_the_table_has_all_and_no_formula(config: Config, folder: Path) -> None:
    """One photograph a row, UTF-8, times in UTC; a spreadsheet must not compute a note."""
    color(config, "=1+1.png", scan=GRAY, result=COLORED)
    decide(config, 1, Decision.APPROVED, "Käthe", note='=HYPERLINK("http://x")')
    decide(config, 2, Decision.FLAGGED, "@Li", reason="+ see the back")
    made(config, folder)
    table = {row["job"]: row for row in rows(folder)}

    assert (folder / "photographs.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert {"1", "2", "3", "4", "6"} == table.keys()
    assert ("1931/a.png", "colored", "7", "approved", "Käthe", "2027-01-15 08:00:00") == tuple(
        table["1"][one]
        for one in ("scan", "state", "model version", "decision", "decided by", "decided")
    )
    assert """'=HYPERLINK("http://x")""" == table["1"]["note"]
    assert ("'@Li", "'+ see the back") == (table["2"]["decided by"], table["2"]["reason"])
    assert "'=1+1.png" == table["6"]["scan"]
    assert ("rejected", REASON, "") == tuple(
        table["4"][one] for one in ("state", "rejected because", "result")
    )
    assert 64 == len(table["1"]["result SHA-256"])


@pytest.mark.parametrize(
    ("scope", "paths"),
    [
        (Scope(folder=PurePosixPath("1931")), ["1931/a.png", "1931/B.png"]),
        (Scope(since=0.5, until=1.5), ["1931/a.png", "1931/B.png", "c.png", "broken.png"]),
    ],
)
def test_only_a_folder_or_a_time_is_told_of(
    config: Config, folder: Path, scope: Scope, paths: list[str]
) -> None:
    """What was colored or rejected in it; the first page says which."""
    made(config, folder, scope)
    said = parsed(folder).text_content()

    assert paths == [row["scan"] for row in rows(folder)]
    assert ("Folder 1931" if scope.folder else "All folders, from") in said


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("2026-12-01", "2026-12-31", "from 2026-12-01 to 2026-12-31"),
        ("2026-12-01T14:00", "", "from 2026-12-01 14:00"),
        ("", "2026-12-31T09:30", "to 2026-12-31 09:30"),
        ("", "", "from the first photograph to the last"),
    ],
)
def test_the_time_that_was_asked_for_is_told_as_it_was_asked_for(
    since: str, until: str, said: str
) -> None:
    """Whole days as days."""
    scope = Scope(
        moment(since, end=False) if since else None, moment(until, end=True) if until else None
    )

    assert f"All folders, {said}</p>" in index_page(Summary(scope))


@pytest.mark.parametrize(
    "scope", [Scope(since=2.0), Scope(until=1.0), Scope(folder=PurePosixPath("zzz"))]
)
def test_where_there_is_nothing_to_tell_nothing_is_made(
    config: Config, folder: Path, scope: Scope
) -> None:
    """Nor where there is no ledger yet."""
    with pytest.raises(DeviceError, match="nothing was colored or rejected in this folder"):
        made(config, folder, scope)
    with pytest.raises(DeviceError, match="nothing was colored or rejected yet"):
        made(place(folder.parent.with_name("unused")), folder)
    assert not folder.exists()


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the clock be Berlin's, in summer two hours and in winter one before Greenwich."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("text", "end", "utc"),
    [
        ("2026-12-31", False, "2026-12-30T23:00:00+00:00"),
        ("2026-12-31", True, "2026-12-31T23:00:00+00:00"),
        ("2026-07-01", False, "2026-06-30T22:00:00+00:00"),
        ("2026-10-25", True, "2026-10-25T23:00:00+00:00"),  # the day with 25 hours
        ("2026-12-31T14:00", True, "2026-12-31T13:00:00+00:00"),
        ("2026-12-31T14:00Z", False, "2026-12-31T14:00:00+00:00"),
    ],
)
def test_a_day_is_a_whole_day_of_this_place(text: str, end: bool, utc: str) -> None:  # noqa: FBT001
    """From its first moment, or up to its last; a time is that moment."""
    assert datetime.fromisoformat(utc).timestamp() == moment(text, end=end)


@pytest.mark.parametrize("text", ["yesterday", "31.12.2026", "2026-13-01"])
def test_what_is_no_day_is_refused(text: str) -> None:
    """Before anything is made."""
    with pytest.raises(ValueError, match=r"."):
        moment(text, end=False)


def test_a_full_disk_leaves_no_report(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of one would look like all."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("service.maintenance.report.index_page", full)

    with pytest.raises(OSError, match="No space left"):
        made(config, folder)
    assert [] == list(folder.parent.iterdir())


def test_nothing_but_the_report_is_changed(config: Config, folder: Path) -> None:
    """Neither inbox nor outbox, originals or ledger's rows; and it is no place for one."""

    def there() -> dict[str, tuple[int, int]]:
        roots = (config.inbox, config.outbox, config.originals.folder, config.rejected)
        paths = [path for root in roots for path in root.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}

    before = there()
    made(config, folder)

    assert before == there()
    for target in (folder, config.outbox / "report"):
        with pytest.raises(DeviceError, match=r"not an empty folder|choose another place"):
            made(config, target)


def test_a_person_reads_where_to_begin(config: Config, folder: Path) -> None:
    """And how much is in it, and what is missing."""
    (config.originals.folder / "c.png").unlink()
    page = io.StringIO()
    print_report_result(made(config, folder), Console(file=page, width=40))

    assert [
        f"{folder}/index.html",
        "3 photographs colored, 1 scan rejected",
        "1 without a picture of scan or result; it says why",
    ] == page.getvalue().splitlines()


def test_it_opens_in_a_browser_from_the_disk(
    config: Config,
    folder: Path,
    new_page: Callable[..., Page],
    serious_violations: Callable[[Page], list[str]],
) -> None:
    """Without an error, on a phone too; all pictures are drawn, and nobody is shut out."""
    made(config, folder)
    page = new_page(viewport={"width": 390, "height": 844})
    for name in ("index.html", "sheet-0001.html", "rejected-0002.html"):
        page.goto(f"{folder.as_uri()}/{name}")
        drawn = "[...document.images].every(one => one.complete && one.naturalWidth > 0)"
        assert page.evaluate(drawn)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert [] == serious_violations(page)
