"""What every part imports. One process imports it, and the processes of the parts are forked from that one."""

from importlib import import_module

from sidelight.core.quiet import quiet_libraries

quiet_libraries()  # before the libraries are imported

for _name in ("sidelight.lab.runs.run", "sidelight.training.trainer", "transformers.modeling_utils"):
    import_module(_name)
