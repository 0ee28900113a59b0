"""``python -m galvo.cli``."""

from galvo.cli import main

if __name__ == "__main__":
    main()
