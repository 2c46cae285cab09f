"""Content credentials for the pictures of a run, as they are saved (imports marking and its layers, writing).

``QIMG_MARK_CREDENTIALS=FOLDER`` names the folder of the authority; ``QIMG_MARK_TSA=URL`` a time-stamp authority,
the only thing that is contacted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qimg_marks.credentials.authority import load
from qimg_marks.marking import Wanted, draft, mark
from qimg_marks.options import password
from qimg_marks.picture import open_picture
from qimg_marks.sources import Stated, look_up, record_for
from qimg_marks.writing import write_marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.session import Session

CREDENTIALS = "QIMG_MARK_CREDENTIALS"
TSA = "QIMG_MARK_TSA"


def sign_saved(files: Sequence[Path], session: Session) -> tuple[Path, ...]:
    """Sign each picture in its place, record it, and give the files that came beside them.

    Raises:
        ConfigurationError, AuthenticationError: no authority in the folder, or its key cannot be read.
        BackendUnavailable: no time stamp. The pictures are there and recorded, without credentials.
        StorageError.
    """
    authority = load(Path(os.environ[CREDENTIALS]), password=password())
    wanted = Wanted(layers=frozenset(("fingerprint", "c2pa")), authority=authority, tsa=os.environ.get(TSA, ""))
    stated = Stated(provider=authority.subject)
    ledger = session.ledger
    ledger.checkpoint()  # the credentials name a head that covers the images
    marked = []
    for path in files:
        picture = open_picture(str(path))
        marked.append(mark(picture, record_for(picture, stated, look_up(ledger, picture)), wanted))
    ledger.extend([draft(ledger, m) for m in marked])
    ledger.checkpoint()
    return tuple(path for paths in write_marked(marked, list(files)) for path in paths[1:])
