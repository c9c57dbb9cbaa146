"""Specs: reading, validation, and what their names stand for."""
