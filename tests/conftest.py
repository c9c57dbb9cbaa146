"""What holds for every test."""

from hypothesis import settings

# Time says nothing on a machine that others share; what is wrong fails without a deadline too.
settings.register_profile("mupc", deadline=None)
settings.load_profile("mupc")
