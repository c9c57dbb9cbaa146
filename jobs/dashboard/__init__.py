"""The dashboard: a local web page over a ledger, running or finished. It writes nothing."""
