"""The tables of the ledger and their columns."""
