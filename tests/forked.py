"""Commands in copies of a process that has imported everything once: several at a time, or killed on the way."""

from __future__ import annotations

import glob
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).parent


class Outcome(NamedTuple):
    """How the copies of one job ended: exit status (-9 after a kill), seconds, and all that they printed."""

    codes: list[int]
    seconds: float
    output: str

    @property
    def code(self) -> int:
        """Of a job of one copy."""
        (code,) = self.codes
        return code


class Runner:
    """The process that copies itself."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def run(
        self,
        *words: object,
        kill: float | None = None,
        once: Path | None = None,
        moves: tuple[Path, int] | None = None,
        environments: Sequence[Mapping[str, str]] = ({},),
    ) -> Outcome:
        """Run ``sidelight word ...``, or ``fit ...`` of :mod:`training_worker`.

        Args:
            kill: seconds after which the copies get SIGKILL: from the start, or from when ``once`` is there.
            once: a pattern of files.
            moves: a folder and a number: SIGKILL right after so many files were moved into place in the folder.
            environments: one for each copy to start, added to this process's own.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with tempfile.NamedTemporaryFile("r") as printed:
            job = {"words": [str(w) for w in words], "kill": kill, "printed": printed.name}
            job |= {"once": once and str(once)}
            job |= {
                "moves": moves and [str(moves[0]), moves[1]],
                "environments": [dict(e) for e in environments],
            }
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
            assert answer, "the runner ended"
            return Outcome(**json.loads(answer), output=printed.read())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def environment() -> dict[str, str]:
    """For processes of one thread without a GPU that find the tests and the library, and no launcher's variables."""
    import sidelight

    places = [str(TESTS), str(Path(sidelight.__file__).parents[1])]
    keep = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    more = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return {**keep, **more, "PYTHONPATH": os.pathsep.join(places)}


def launched(count: int) -> list[dict[str, str]]:
    """The environments that ``torchrun`` gives ``count`` processes of one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    shared["LOCAL_WORLD_SIZE"] = str(count)
    return [{**shared, "RANK": str(i), "LOCAL_RANK": str(i)} for i in range(count)]


def _work(job: Mapping[str, Any], variables: Mapping[str, str]) -> None:
    """What a copy does; it never returns."""
    import sidelight.cli
    import training_worker

    code, printed = 1, os.open(job["printed"], os.O_WRONLY | os.O_APPEND)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.environ.update(variables)
    if job["moves"]:
        _kill_after(*job["moves"])
    try:
        sys.argv = job["words"]
        training_worker.main() if job["words"][0] == "fit" else sidelight.cli.main()
        code = 0
    except SystemExit as leave:
        code = int(leave.code or 0)
    except BaseException:  # noqa: BLE001 - a copy must never return
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _kill_after(folder: str, count: int) -> None:
    replace, moved = os.replace, []

    def counted(source: Any, target: Any, **options: Any) -> None:
        replace(source, target, **options)
        if str(target).startswith(folder):
            moved.append(target)
        if len(moved) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = counted


def _run(job: Mapping[str, Any]) -> dict[str, Any]:
    start, children, codes = time.monotonic(), [], {}
    begin = None if job["once"] else start
    for variables in job["environments"]:
        children.append(os.fork())
        if children[-1] == 0:
            _work(job, variables)
    while len(codes) < len(children):
        if begin is None and glob.glob(job["once"]):
            begin = time.monotonic()
        late = job["kill"] is not None and begin is not None and time.monotonic() - begin > job["kill"]
        for child in set(children) - set(codes):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                codes[child] = os.waitstatus_to_exitcode(status)
            elif late:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    return {"codes": [codes[child] for child in children], "seconds": time.monotonic() - start}


def main() -> None:
    import accelerate  # noqa: F401
    import pandas  # noqa: F401
    import torch
    import transformers  # noqa: F401

    import sidelight.lab.benchmark.suite
    import sidelight.training.trainer  # noqa: F401
    import training_worker  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)
    os._exit(0)  # tidying up everything that is imported takes seconds


if __name__ == "__main__":
    main()
