"""AWS's public price list of Amazon Braket, and costs computed from it (imports qimg_core, httpx inside functions).

The bulk price list is a CSV whose first five lines are about the list itself and name its publication date
(https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-an-offer.html#csv). The rows are chosen as the
SDK's own cost tracker chooses them. A cost computed from it is no invoice: it knows no credits and no discounts.
"""

from __future__ import annotations

import csv
import io
import os
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import BackendUnavailable, ProtocolError
from qimg_core.job import Cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

URL = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonBraket/current/index.csv"
VARIABLE = "BRAKET_PRICE_OFFERS_URL"
"""The SDK's own environment variable for another place of the list."""
LEAST_MILLISECONDS = 3000
"""A managed simulator bills at least so much for a task."""
_METADATA_LINES = 5
_UNITS = {"minutes": 60_000, "minute": 60_000, "hours": 3_600_000, "hour": 3_600_000, "seconds": 1000, "second": 1000}


def _rows(rows: Iterable[Mapping[str, str]]) -> tuple[Mapping[str, str], ...]:
    return tuple(rows)


@frozen
class Tariff:
    """What one device costs, in USD.

    Args:
        task, shot: of a QPU.
        millisecond: of a managed simulator.
        published: date of the price list, as it says.
    """

    task: Decimal | None = None
    shot: Decimal | None = None
    millisecond: Decimal | None = None
    published: str | None = None

    def shots_cost(self, tasks: int, shots: int, why: str) -> Cost:
        """``tasks`` task fees and ``shots`` shot fees."""
        if self.task is None or self.shot is None:
            return Cost.unknown("the price list has no single price for this device")
        basis = f"{why}: {tasks} tasks at {self.task} and {shots} shots at {self.shot} USD, AWS price list"
        return Cost.exactly(_plain(self.task * tasks + self.shot * shots), basis=basis, date=self.published)

    def time_cost(self, milliseconds: Iterable[int], why: str) -> Cost:
        """Tasks of these durations on a managed simulator."""
        if self.millisecond is None:
            return Cost.unknown("the price list has no single price for this device")
        billed = sum(max(LEAST_MILLISECONDS, ms) for ms in milliseconds)
        basis = f"{why}: {billed} ms at {_plain(self.millisecond * 60_000)} USD a minute, AWS price list"
        return Cost.exactly(_plain(self.millisecond * billed), basis=basis, date=self.published)

    def at_least(self, tasks: int) -> Cost:
        """Before a managed simulator has run, its least bill is known and its largest is not."""
        if self.millisecond is None:
            return Cost.unknown("the price list has no single price for this device")
        basis = f"{tasks} tasks of at least 3 s; how long they take is not known before, AWS price list"
        low = _plain(self.millisecond * LEAST_MILLISECONDS * tasks)
        return Cost(low=low, high=None, basis=basis, date=self.published)


@frozen
class PriceList:
    """The rows of the list, and when it was published."""

    rows: tuple[Mapping[str, str], ...] = field(converter=_rows)
    published: str | None = None

    @classmethod
    def parse(cls, text: str) -> PriceList:
        """Read the CSV.

        Raises:
            ProtocolError: it is no such list.
        """
        lines = text.splitlines()
        head = {row[0]: row[1] for row in csv.reader(lines[:_METADATA_LINES]) if len(row) > 1}
        rows = list(csv.DictReader(io.StringIO("\n".join(lines[_METADATA_LINES:]))))
        if not rows or "PricePerUnit" not in rows[0]:
            raise ProtocolError("the AWS price list does not have the form that its documentation describes")
        return cls(rows, head.get("Publication Date"))

    @classmethod
    def fetch(cls, url: str | None = None, *, timeout: float = 30.0) -> PriceList:
        """Download the list; nothing about the caller is sent.

        Raises:
            BackendUnavailable, ProtocolError
        """
        import httpx

        chosen = url or os.environ.get(VARIABLE) or URL
        try:
            answer = httpx.get(chosen, timeout=timeout, follow_redirects=True)
        except httpx.HTTPError as cause:
            raise BackendUnavailable(f"the AWS price list cannot be had ({type(cause).__name__})") from cause
        if answer.status_code != 200:
            raise BackendUnavailable(f"the AWS price list cannot be had (HTTP {answer.status_code})")
        return cls.parse(answer.text)

    def tariff(self, device: str, region: str, *, qpu: bool) -> Tariff:
        """The prices of one device.

        Args:
            device: last part of its ARN.
            region: where the task runs.
            qpu: or a managed simulator.
        """
        if qpu:
            named = {"Region Code": region, "DeviceName": _listed(device)}
            task = self._price({**named, "Product Family": "Quantum Task"})
            shot = self._price({**named, "Product Family": "Quantum Task-Shot"})
            return Tariff(task=task and task[0], shot=shot and shot[0], published=self.published)
        timed = self._price(
            {
                "Region Code": region,
                "Version": device.upper(),
                "Product Family": "Simulator Task",
                "operation": "CompleteTask",
            }
        )
        unit = _UNITS.get(timed[1].lower()) if timed else None
        if timed is None or unit is None:
            return Tariff(published=self.published)
        return Tariff(millisecond=timed[0] / unit, published=self.published)

    def _price(self, wanted: Mapping[str, str]) -> tuple[Decimal, str] | None:
        """(price, unit) in USD; None where the list has none, or several."""
        found = {
            (row.get("PricePerUnit") or "", row.get("Unit") or "")
            for row in self.rows
            if row.get("Currency") == "USD" and all(row.get(k) == v for k, v in wanted.items())
        }
        if len(found) != 1:
            return None
        price, unit = found.pop()
        try:
            return Decimal(price), unit
        except InvalidOperation:
            return None


def _listed(device: str) -> str:
    """The list's spelling of a device's name."""
    name = device[:1].upper() + device[1:]
    return name.replace("Ibex", "IBEX")


def _plain(number: Decimal) -> Decimal:
    """Without exponents and needless zeros."""
    return Decimal(format(number.normalize(), "f"))
