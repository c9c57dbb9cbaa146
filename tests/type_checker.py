"""The type checker of pccore's annotations in tests: beartype, with integers allowed as floats."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
