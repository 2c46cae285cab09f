"""One plan's jobs, from intent to raw results, each sent and paid once (floor 5; a package).

The intents of a request are durable before anything is sent. A job's key is SHA-256(run, ordinal, job,
request digest): a transport retry and a resumed run keep it, a deliberate repeat has a new one. An
uncertain submission is looked up by its key; it is sent again only where that cannot make a second job:

====================  =====================================================================================
what happened         what is done
====================  =====================================================================================
certainly refused     sent again with the same key, after a pause (connection refused, 429)
uncertain, TOKEN      sent again with the same token: the provider makes one job of it
uncertain, TAG        looked up until `Polling.settle` is over: found, it is adopted; not found, and the
                      provider had answered (5xx): sent again; not found without any answer: an error
uncertain, NONE       `SubmissionUncertain`; a person states what is true with ``qimg jobs resolve``
====================  =====================================================================================

Questions and downloads are safe and are repeated. A job that failed is never sent again by itself.
"""

from qimg_core.jobs.breaker import Breaker
from qimg_core.jobs.journal import Journal
from qimg_core.jobs.polling import Polling
from qimg_core.jobs.running import run_jobs

__all__ = ["Breaker", "Journal", "Polling", "run_jobs"]
