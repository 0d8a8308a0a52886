"""``python -m featherface``, the same as ``featherface``."""

import sys

from featherface.cli import main

sys.exit(main())
