"""Experiments submitted to a Ray cluster."""
