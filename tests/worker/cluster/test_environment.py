"""Promises of worker.cluster.environment: machines that would give other bytes are told apart."""

from worker.cluster.environment import differences, environment


def test_what_is_the_same_everywhere_is_no_difference() -> None:
    """A machine is like itself, and knows all of its versions."""
    here = environment()

    assert "" == differences(here, environment())
    assert all(here[name] for name in ("Python", "photochrom", "tensorflow", "pillow"))


def test_each_difference_is_told_in_words() -> None:
    """With both versions, or that it is missing."""
    here = {"Python": "3.11.7", "ray": "2.60.0", "pi-heif": "1.4.0", "c2pa-python": ""}
    there = {"Python": "3.11.8", "ray": "2.60.0", "pi-heif": "", "c2pa-python": "0.38.1"}

    assert (
        "Python 3.11.8 there, 3.11.7 here; pi-heif missing there, 1.4.0 here;"
        " c2pa-python 0.38.1 there, missing here"
    ) == differences(here, there)
