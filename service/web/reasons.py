"""Why photographs are rejected: what reviewers choose from, or say in words of their own."""

from service.web.messages import Messages

REASONS = (  # as ledger and sidecar keep them; a person may give another
    "wrong color of clothing",
    "patches",
    "color wash",
    "wrong thing",
    "damage colored",
    "other",
)


def reason_words(reason: str, texts: Messages) -> str:
    """Return a reason in the visitor's language if it is one of `REASONS`, else as it was given."""
    if reason not in REASONS:
        return reason
    return texts("reason." + reason.replace(" ", "_"))
