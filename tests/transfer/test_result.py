"""The result of an experiment, as it prints and as notebooks show it."""

import pytest
from transfer_fakes import FormulaPool, MemoryLedger, spec

from transfer import Experiment, TransferResult, run

EXPERIMENT = Experiment.from_dict(spec(variants=["mupc", "bp"]))


def result() -> TransferResult:
    ledger = MemoryLedger()
    return run(EXPERIMENT, ledger, FormulaPool(lambda *_: 0.5))  # type: ignore[arg-type]


def test_prints_as_a_short_table() -> None:
    found = result()
    lines = repr(found).splitlines()
    assert lines == str(found).splitlines()
    assert lines[0].split()[:3] == ["variant", "N", "x"]
    assert len(lines) == 1 + len(found.verdicts) == 5
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1:]] == ["mupc", "mupc", "bp", "bp"]
    assert repr(TransferResult({}, [])) == "no verdicts"


def test_notebooks_show_it_as_html_with_escaped_text() -> None:
    found = result()
    found.verdicts[0]["reason"] = "<script>alert(1)</script> & more"
    html = found._repr_html_()
    assert html.startswith("<table")
    assert html.count("<tr") == 1 + len(found.verdicts)
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in html
    assert TransferResult({}, [])._repr_html_().startswith("<table")


def test_a_path_in_place_of_the_ledger_is_named() -> None:
    with pytest.raises(TypeError, match=r"mupc\.open\('runs', create=True\)"):
        run(Experiment.from_dict(spec()), "runs", FormulaPool(lambda *_: 1.0))  # type: ignore[arg-type]
