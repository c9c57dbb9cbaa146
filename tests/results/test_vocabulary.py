"""Words of the ledger against their other uses."""

import pytest

from pccore import Status
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
