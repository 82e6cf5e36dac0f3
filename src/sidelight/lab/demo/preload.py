"""What every part imports. One process imports it, and the processes of the parts are forked from that one."""

import os
import signal
from importlib import import_module

from sidelight.core.quiet import quiet_libraries

# Ctrl-C reaches all processes. During these imports it would print a traceback. Afterwards Python's server of forks ignores it.
signal.signal(signal.SIGINT, lambda *_: os._exit(130))

quiet_libraries()  # before the libraries are imported

for _name in ("sidelight.lab.runs.run", "sidelight.training.trainer", "transformers.modeling_utils"):
    import_module(_name)
