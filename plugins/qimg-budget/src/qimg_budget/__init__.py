"""Budgets across processes for qimg: reserve the upper bound, commit the actual, release the rest.

=============  ===============================================================================
module         what
=============  ===============================================================================
`amounts`      whole numbers of jobs, shots, and millionths of a priced unit
`limits`       what may be spent per run, project, day, cost centre and in total
`schema`       the SQLite file
`reckoning`    what a reservation holds and has spent, from the ends of its jobs
`claims`       what wants to be reserved, and what is
`store`        reserve and settle, each in one transaction
`pin`          which budget a ledger has to use, and under which project
`road`         the hook: a plan on its way to a device
`holding`      which process is at work on a reservation
`outcomes`     from what a ledger knows of a job to what it cost
`settling`     reservations that dead processes left, from the ledger's jobs
`report`       spending by run, project, day, device, cost centre; how fast; from store or ledger
`audit`        does the budget agree with itself and with the ledgers
`bills`        a provider's bill beside the ledger's own numbers
=============  ===============================================================================
"""
