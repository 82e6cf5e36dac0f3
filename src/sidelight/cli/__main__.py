"""``python -m sidelight.cli``, for launchers: ``torchrun --nproc-per-node 2 -m sidelight.cli evaluate RUN``."""

from sidelight.cli import main

if __name__ == "__main__":
    main()
