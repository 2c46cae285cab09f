"""Outside memories of a ledger: witnesses (C2SP tlog-witness, client and server) and time stamps (RFC 3161)."""
