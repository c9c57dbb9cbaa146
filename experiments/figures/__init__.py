"""Figures of the recipes."""
