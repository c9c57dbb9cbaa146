"""Words, tables and HTML of the report, from pandas frames."""
