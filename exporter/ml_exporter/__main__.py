"""`python -m ml_exporter` is the command `ml-exporter`."""

import sys

from ml_exporter.cli import main

if __name__ == "__main__":
    sys.exit(main())
