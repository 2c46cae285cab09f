"""``python -m qimg_core.testing.mutants``: the tables of faults and cases, as Markdown on stdout."""

import logging
import sys
from functools import partial

from qimg_core.testing.mutants import generators
from qimg_core.testing.mutants.matrix import matrix, table

if __name__ == "__main__":
    logging.disable(logging.WARNING)  # what the core warns of is what is tried here
    progress = partial(print, file=sys.stderr, flush=True)
    devices = matrix(progress=progress)
    models = matrix((generators.SOUND, *generators.MUTANTS), progress=progress)
    print(table(devices), table(models), sep="\n\n")  # noqa: T201
    rows = [*devices, *models]
    sys.exit(
        any(bool(failed) != bool(m.caught_by) or (m.caught_by and m.caught_by not in failed) for m, failed in rows)
    )
