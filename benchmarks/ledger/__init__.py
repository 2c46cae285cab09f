"""How fast the ledger writes, proves and verifies, beside MLflow's stores on the same machine in one run."""
