"""A ledger for others: tables in CSV, and a data set with a card and Croissant metadata."""
