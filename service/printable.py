"""Texts that a terminal shows and does not obey; pure.

A file's name may hold anything but "/" and NUL: commands of a terminal, new lines that look like
lines of a log, letters that turn the reading direction around.
"""


def printable(text: str, keep: str = "") -> str:
    r"""Write out what is no letter, digit, sign or blank, as `\n`, `\x1b`, `\u202e` or `\udce9`.

    Args:
        text: of a file's name, a library, or a fault.
        keep: characters that stay, such as "\n" in a text of several lines.

    Returns:
        A text that is UTF-8; one that is printable in the sense of `str.isprintable` as it was.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]
