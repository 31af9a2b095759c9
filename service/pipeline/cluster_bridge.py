"""The process between the daemon and Ray: `python -m service.pipeline.cluster_bridge`."""

from service.pipeline.cluster_parts import PARTS
from worker.cluster.bridge import main

if __name__ == "__main__":
    main(PARTS)
