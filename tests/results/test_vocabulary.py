"""Words of the ledger against their other uses."""

import pytest

from pccore import Status
from results.durations import duration, parse_duration
from results.schema.tables import TABLES
from results.vocabulary import (
    RATE_NAMES,
    RATE_SYMBOLS,
    RATES,
    SIZE_SYMBOLS,
    SIZES,
    TRANSFER_RULE_NAMES,
    VERDICT_PHRASES,
    OutcomeLabel,
    Phase,
    VerdictLabel,
)
from transfer.spec.transfer_rules import TRANSFER_RULES


def test_outcomes_are_the_statuses_of_training():
    assert {label.value for label in OutcomeLabel} == {status.value for status in Status}


@pytest.mark.parametrize(
    ("table", "column", "labels"),
    [
        ("runs", "outcome", OutcomeLabel),
        ("runs", "phase", Phase),
        ("verdicts", "verdict", VerdictLabel),
    ],
)
def test_columns_allow_exactly_the_labels(table, column, labels):
    assert TABLES[table].named[column].allowed == tuple(labels)


def test_rates_and_sizes_have_a_name_and_a_symbol_each():
    assert tuple(RATE_NAMES) == tuple(RATE_SYMBOLS) == RATES
    assert tuple(SIZE_SYMBOLS) == SIZES


def test_every_verdict_label_has_a_phrase():
    assert tuple(VERDICT_PHRASES) == tuple(VerdictLabel)


def test_transfer_rules_of_specs_have_the_ledgers_names():
    assert tuple(TRANSFER_RULES) == TRANSFER_RULE_NAMES


@pytest.mark.parametrize("seconds", [0, 59, 60, 61, 3599, 3600, 86_400])
def test_durations_are_read_back(seconds):
    read = parse_duration(duration(seconds))
    assert read is not None
    assert read == pytest.approx(seconds, abs=60 if seconds >= 3600 else 0.5)
