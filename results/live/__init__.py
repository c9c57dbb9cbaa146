"""A ledger that is looked at again and again while it grows: only its new files are read."""
