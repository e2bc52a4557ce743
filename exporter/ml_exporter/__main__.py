"""`python -m ml_exporter` is `ml-exporter`."""

import sys

from ml_exporter.cli import main

sys.exit(main())
