"""What can be said about predictive coding without training: closed forms, spectra, limits.

Every tool works from the layers' structure, at sizes that dense formulas cannot reach.
"""
