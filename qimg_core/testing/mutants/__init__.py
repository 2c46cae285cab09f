"""Faulty devices, and in `generators` faulty generators: a conformance kit that they pass is itself broken (floor 8).

Each is right but for one fault that adapters have had. ``python -m qimg_core.testing.mutants`` runs the whole kit on
each and prints which case catches which fault.
"""

from qimg_core.testing.mutants import circuits, jobs, orders, results
from qimg_core.testing.mutants.mutant import Mutant
from qimg_core.testing.mutants.sound import SoundDevice

MUTANTS = (*circuits.MUTANTS, *orders.MUTANTS, *results.MUTANTS, *jobs.MUTANTS)
SOUND = (Mutant(name="sound device", make=SoundDevice, caught_by=""), jobs.sound())
"""The same devices without a fault."""

__all__ = ["MUTANTS", "SOUND", "Mutant", "SoundDevice"]
