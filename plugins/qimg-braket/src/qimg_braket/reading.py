"""From a job's handle to its numbers and its bill (imports qimg_core, numpy)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_braket.results import Decoded, Failure, Tally, decode, outcomes, raw_of
from qimg_core.errors import JobCancelled, JobFailed, ProtocolError, ResultError
from qimg_core.job import Cost, RawResult
from qimg_core.measurement import Samples, measurement_from_json
from qimg_core.settings import read, settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_braket.account import Account
    from qimg_braket.prices import Tariff
    from qimg_core.job import JSON, JobHandle


def read_result(account: Account, handle: JobHandle, name: str, versions: Mapping[str, str]) -> RawResult:
    """The result of a finished job.

    Args:
        account: in the job's region.
        handle: with what `qimg_braket.tasks.reading` put into it.
        name: of the driver, for messages.
        versions: for the record.

    Raises:
        ResultError: a document that cannot be read; or programs of a set that failed, with ``missing`` (number of
            the program -> reason) and ``good`` (number -> outcome -> count) in its facts.
        JobFailed, JobCancelled: a task ended so.
        JobLost: Braket no longer knows a task.
    """
    extra = _extra(handle, name)
    shots = int(extra["shots"])
    decoded, metadata = [], []
    for arn, programs in zip(handle.provider_ids, extra["programs"], strict=True):
        answer = account.task(arn)
        _refuse_unfinished(answer, name)
        metadata.append(answer)
        decoded.append(_decoded(account, answer, int(extra["wires"]), [shots] * int(programs)))
    found = [p for d in decoded for p in d.programs]
    raw, digest = raw_of(decoded)
    tallies = _complete(found, name, digest)
    measurement = measurement_from_json(extra["measurement"])
    settings = settings_for(measurement)
    if len(tallies) != int(extra["rows"]) * len(settings):
        raise ResultError(
            f"{name}: {len(tallies)} programs do not make {extra['rows']} rows of {len(settings)} settings"
        )
    taken = min(_taken(decoded, metadata, tallies))
    if isinstance(measurement, Samples):
        if not all(t.counts for t in tallies):
            raise ResultError(f"{name}: samples were asked, the device gave probabilities that are no counts")
        tallies = [_first(t, taken) for t in tallies]
    found_by_setting = [outcomes(tallies[i :: len(settings)], s) for i, s in enumerate(settings)]
    return RawResult(
        data=read(measurement, settings, found_by_setting),
        shots=taken,
        raw=raw,
        raw_digest=digest,
        sampling="native",
        lowered_digest=str(extra["program"]),
        provider={
            "device": extra["device"],
            "tasks": len(handle.provider_ids),
            "counted": all(bool(t.counts) for t in tallies),
            **versions,
        },
    )


def bill(account: Account, handle: JobHandle, tariff: Tariff, *, qpu: bool) -> Cost | None:
    """What the job's completed tasks cost by the price list; None where a duration is not told."""
    extra = _extra(handle, handle.backend)
    why = "computed from the price list, not an invoice"
    tasks, shots, durations = 0, 0, []
    for arn, programs in zip(handle.provider_ids, extra["programs"], strict=True):
        answer = account.task(arn)
        if not has_result(answer):
            continue
        if any(a.get("type") == "RESERVATION_TIME_WINDOW_ARN" for a in answer.get("associations") or ()):
            continue  # paid for by the hour
        tasks += 1
        shots += int(answer.get("numSuccessfulShots") or answer["shots"])
        if not qpu:
            decoded = _decoded(account, answer, int(extra["wires"]), [int(extra["shots"])] * int(programs))
            if decoded.milliseconds is None:
                return None
            durations.append(decoded.milliseconds)
    return tariff.shots_cost(tasks, shots, why) if qpu else tariff.time_cost(durations, why)


def has_result(answer: Mapping[str, Any]) -> bool:
    """Whether a task's result can be read: it is done, or it is a program set of which some programs failed."""
    kind = str((answer.get("actionMetadata") or {}).get("actionType", ""))
    partial = answer["status"] == "FAILED" and "program_set" in kind and bool(answer.get("numSuccessfulShots"))
    return partial or answer["status"] == "COMPLETED"


def queue_position(answer: Mapping[str, Any]) -> int | None:
    """The task's place in the queue; Braket writes ">2000" for long queues."""
    digits = str((answer.get("queueInfo") or {}).get("position")).lstrip(">")
    return int(digits) if digits.isdecimal() else None


def _refuse_unfinished(answer: Mapping[str, Any], name: str) -> None:
    if has_result(answer):
        return
    if answer["status"] == "FAILED":
        raise JobFailed(f"{name}: {answer.get('failureReason') or 'Braket gives no reason'}")
    if answer["status"] in ("CANCELLED", "CANCELLING"):
        raise JobCancelled(f"{name}: the task was cancelled")
    raise ResultError(f"{name}: a task is not done, its state is {answer['status']}")


def _extra(handle: JobHandle, name: str) -> Mapping[str, Any]:
    wanted = {"region", "device", "measurement", "rows", "wires", "shots", "programs", "program"}
    if missing := wanted - set(handle.extra):
        raise ResultError(
            f"{name}: the handle of job {handle.key[:12]} lacks {', '.join(sorted(missing))}",
            hint="go on with --resume RUN: it makes the handle anew",
        )
    return handle.extra


def _decoded(account: Account, answer: Mapping[str, Any], wires: int, shots: Sequence[int]) -> Decoded:
    bucket, folder = answer.get("outputS3Bucket"), answer.get("outputS3Directory")
    if not isinstance(bucket, str) or not isinstance(folder, str):
        raise ProtocolError("Braket does not say where a task's result is")
    successful = answer.get("numSuccessfulShots")
    return decode(bucket, folder, wires, shots, account.object, None if successful is None else int(successful))


def _complete(found: Sequence[Tally | Failure], name: str, digest: str) -> list[Tally]:
    """All programs' results, or an error that keeps those that are there."""
    good = {i: f for i, f in enumerate(found) if isinstance(f, Tally)}
    missing: dict[str, JSON] = {str(i): f.reason for i, f in enumerate(found) if isinstance(f, Failure)}
    if not missing:
        return list(good.values())
    kept = {str(i): {"".join(map(str, b)): c for b, c in t.counts.items()} for i, t in good.items()}
    reasons = "; ".join(f"program {i}: {why}" for i, why in list(missing.items())[:3])
    raise ResultError(
        f"{name}: {len(missing)} of {len(found)} programs gave no result ({reasons})",
        hint="the counts of the others are in the error's facts; they were paid",
        missing=missing,
        good=kept,
        raw=digest,
    )


def _taken(decoded: Sequence[Decoded], metadata: Sequence[Mapping[str, Any]], tallies: Sequence[Tally]) -> list[int]:
    """Shots of each program: as counted, and no more than Braket calls successful."""
    out = [t.shots for t in tallies]
    for d, answer in zip(decoded, metadata, strict=True):
        successful = answer.get("numSuccessfulShots")
        if successful is not None:
            out.append(int(successful) // len(d.programs))
    return out


def _first(tally: Tally, shots: int) -> Tally:
    """As many shots as every row has; only where a device took fewer than asked, which the core then refuses."""
    if tally.shots == shots:
        return tally
    left, counts = shots, {}
    for bits, count in tally.counts.items():
        counts[bits] = min(count, left)
        left -= counts[bits]
    kept = {b: c for b, c in counts.items() if c}
    return Tally(kept, {b: c / shots for b, c in kept.items()}, shots)
