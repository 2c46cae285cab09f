"""The line that goes under a picture: what made it, under which licence, what was quantum (imports record)."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError
from qimg_marks.record import QUANTUM_WORDS

if TYPE_CHECKING:
    from qimg_marks.record import MarkingRecord

DEFAULT = "$origin image: $system ($version) by $provider, $quantum. $licence $record Check: $detector"
ORIGINS = {"generated": "AI-generated", "manipulated": "AI-manipulated"}


def attribution(record: MarkingRecord, template: str = DEFAULT) -> str:
    """Words for a caption.

    Args:
        record: of the image.
        template: with ``$origin $provider $system $version $time $id $run $model $licence $quantum $record
            $detector``; ``$record`` names the run and the ledger's entry where there is one.

    Raises:
        ConfigurationError: a field that there is not.
    """
    place = record.place
    fields = {
        "origin": ORIGINS[record.origin],
        "provider": record.provider,
        "system": record.system,
        "version": record.version,
        "time": record.time,
        "id": record.unique_id,
        "run": "" if place is None else place.run,
        "model": record.model,
        "licence": f"Licence: {record.licence}." if record.licence else "No licence stated.",
        "quantum": QUANTUM_WORDS[record.quantum],
        "record": "No ledger entry." if place is None else f"Run {place.run}, entry {place.entry} of {place.log}.",
        "detector": record.detector,
    }
    try:
        return Template(template).substitute(fields)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"the attribution names {error}, which is no field", hint=f"fields: ${', $'.join(fields)}"
        ) from error
