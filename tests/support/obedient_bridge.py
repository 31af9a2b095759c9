"""The bridge to Ray with obedient workers: `python -m tests.support.obedient_bridge`."""

from tests.support.obedient_workers import PARTS
from worker.cluster.bridge import main

if __name__ == "__main__":
    main(PARTS)
