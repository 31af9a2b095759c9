"""The command `ray`, on the loopback address only: `python -m tests.support.ray_node start ...`.

Ray takes 127.0.0.1 for a mistake, and would listen on all addresses of the machine.
"""

import ctypes
import signal
import sys

from ray._private import services
from ray.scripts.scripts import main

LOOPBACK = "127.0.0.1"
END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGTERM)  # a killed test leaves no node
    services.get_node_ip_address = lambda *_: LOOPBACK
    services.resolve_ip_for_localhost = lambda host: host
    sys.argv[0] = "ray"
    main()
