"""``python -m channelbench.cli``: the command line."""

from channelbench.cli import main

if __name__ == "__main__":
    main()
