"""The command line `mupc`."""
