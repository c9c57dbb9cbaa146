"""A ledger that is looked at again and again while it grows: of its files only new ones are read."""
