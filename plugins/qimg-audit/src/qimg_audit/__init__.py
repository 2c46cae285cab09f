"""Looking for gaps, checking bills, drawn samples and replays of a ledger; exports for other tools."""
