"""Addresses of the gallery: read, refused, and written again."""

import os
from datetime import datetime, timedelta
from pathlib import PurePosixPath

import pytest

from service.ledger.gallery import Cursor, GalleryFilter, Order
from service.web.gallery_filters import cursor_text, folder_of, folder_text, job_numbers, understood
from service.web.pages import Refusal

EVERY_WORD = {
    "folder": "fonds 3/album",
    "since": "2026-11-01",
    "until": "2026-11-30",
    "state": "held",
    "decision": "open",
    "model": "3",
    "below": "0.5",
    "word": "tram",
    "order": "confidence",
    "view": "grid",
}


def test_each_word_is_understood() -> None:
    """Days are those of this machine, the last one included."""
    asked = understood(EVERY_WORD | {"after": "0.25_17", "fbclid": "x"})
    day = datetime(2026, 11, 1).astimezone()

    assert asked.which == GalleryFilter(
        folder=PurePosixPath("fonds 3/album"),
        since=day.timestamp(),
        until=datetime(2026, 12, 1).astimezone().timestamp(),
        state="held",
        decision="open",
        model="3",
        below=0.5,
        word="tram",
    )
    assert (Order.CONFIDENCE, "grid", Cursor(0.25, 17)) == (asked.order, asked.view, asked.after)
    assert asked.which.until is not None
    assert timedelta(days=30) == datetime.fromtimestamp(asked.which.until).astimezone() - day


def test_an_address_leads_to_the_same() -> None:
    """What is asked for can be written as an address again, with one word changed."""
    asked = understood(EVERY_WORD | {"after": "0.25_17"})

    assert EVERY_WORD == asked.words()
    assert EVERY_WORD | {"decision": "approved"} == asked.words(decision="approved")
    assert "/?view=grid" == understood({"view": "grid", "decision": "open"}).link(decision=None)
    assert "/" == understood({"order": "newest", "view": "list", "word": ""}).link()


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("since", "yesterday"),
        ("since", "99999-01-01"),
        ("until", "9999-12-31"),
        ("state", "lost"),
        ("decision", "APPROVED"),
        ("below", "1.5"),
        ("below", "nan"),
        ("order", "random"),
        ("view", "table"),
        ("after", "inf_3"),
        ("after", "1e999_3"),
        ("before", "3"),
        ("jobs", "1.2.x"),
        ("jobs", "1..2"),
        ("jobs", ".".join(["1"] * 501)),
        ("among", "-1"),
        ("word", "x" * 5000),
    ],
)
def test_what_makes_no_sense_is_refused(word: str, value: str) -> None:
    """With the name of the field."""
    with pytest.raises(Refusal) as refused:
        understood({word: value})

    assert (400, {"field": word}) == (refused.value.status_code, refused.value.values)


@pytest.mark.parametrize("raw", [b"plain/album", "Straße/相册".encode(), b"100 %/\xff\n\xe4"])
def test_folders_of_any_bytes_pass_through_a_form(raw: bytes) -> None:
    """As text that HTML can hold and that leads back to the bytes."""
    text = folder_text(PurePosixPath(os.fsdecode(raw)))

    assert text.isprintable()
    assert text.encode()
    assert raw == os.fsencode(folder_of(text))


def test_a_place_between_two_pages_is_exact() -> None:
    """A float in the address is the float of the ledger."""
    place = Cursor(1_764_428_399.123456, 12)

    assert place == understood({"after": cursor_text(place)}).after
    assert (3, 1) == job_numbers("3.1.3")
