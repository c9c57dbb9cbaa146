"""What the report says in words and tables, from pandas frames; no figures and no HTML here."""
