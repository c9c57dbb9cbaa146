"""Figures of the report, drawn with Matplotlib from pandas frames; one module per kind.

Importing these modules does not load Matplotlib; drawing does. Figures are `Figure` objects on the
Agg canvas, without pyplot and its global state, so that they work in threads and without a display.
"""
