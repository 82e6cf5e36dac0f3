"""``python -m sidelight`` is the command ``sidelight``, also where no folder of commands is on the path."""

from sidelight.cli import main

if __name__ == "__main__":
    main()
