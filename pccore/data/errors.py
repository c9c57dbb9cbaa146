"""The error of data sets."""


class DatasetError(ValueError):
    """A data set is missing, damaged or inconsistent; the message is one sentence."""
