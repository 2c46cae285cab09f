"""``python -m qimg_core`` is ``qimg``."""

from __future__ import annotations

import sys

from qimg_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
