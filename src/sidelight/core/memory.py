"""How much memory is free on the device of a model."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from sidelight.core.freed_memory import return_freed_memory
from sidelight.core.processes import process_count

#: Files in which Linux tells a container its limit and its use, in bytes. The second pair is that of older systems.
_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free_memory(device: torch.device) -> int:
    """Bytes that this process can still take on ``device``. Processes of one launcher share those of the machine.

    Example:
        >>> free_memory(torch.device("cpu")) > 0
        True
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return_freed_memory()  # what the process keeps for itself is free, too
    free = min([psutil.virtual_memory().available, *_left_to_container()])
    return free // process_count()


def _left_to_container() -> list[int]:
    """Bytes up to the limit of the container, if there is one."""
    found = []
    for limit, used in _LIMITS:
        try:
            texts = [Path(place).read_text(encoding="ascii").strip() for place in (limit, used)]
        except OSError:
            continue
        if all(text.isdigit() for text in texts):
            found.append(max(0, int(texts[0]) - int(texts[1])))
    return found
