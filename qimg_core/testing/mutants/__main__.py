"""``python -m qimg_core.testing.mutants``: the table of faults and cases, as Markdown on stdout."""

import logging
import sys

from qimg_core.testing.mutants.matrix import matrix, table

if __name__ == "__main__":
    logging.disable(logging.WARNING)  # what the core warns of is what is tried here
    rows = matrix(progress=lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201
    print(table(rows))  # noqa: T201
    sys.exit(
        any(bool(failed) != bool(m.caught_by) or (m.caught_by and m.caught_by not in failed) for m, failed in rows)
    )
