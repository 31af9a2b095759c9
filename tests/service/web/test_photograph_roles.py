"""The photograph's page for those who may only look."""

from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.web.users import Role
from tests.support.command import Home
from tests.support.web_client import WebClient, web_app


def test_readers_only_look(archive: Home) -> None:
    """No decision, no apply; corrections may be tried."""
    client = WebClient(web_app(archive.folder, users={"ada": Role.READER}))
    client.log_in("ada")
    with LedgerQueries.open(archive.folder / "state" / LEDGER_FILE) as ledger:
        job = ledger.colored()[0].id
    page, facts = client.get(f"/photographs/{job}"), client.get(f"/photographs/{job}.json")
    (archive.folder / "users").unlink()

    assert 200 == page.status_code
    assert 'id="approve"' not in page.text
    assert 'id="apply"' not in page.text
    assert 'id="vividness"' in page.text
    assert facts.json()["canReview"] is False
