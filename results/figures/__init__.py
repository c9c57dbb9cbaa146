"""Figures of the report: each module draws one kind, from pandas frames, into a Matplotlib figure.

Importing a module here loads no Matplotlib; drawing does. Figures are plain `Figure` objects on the
Agg canvas: no pyplot, no global state, safe in a worker and without a display.
"""
