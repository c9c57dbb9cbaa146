"""docs/data.md names every key of a data set in a spec."""

import yaml
from pages import ROOT, page_blocks

from transfer.spec.dataset import FileSection

GUIDE = ROOT / "docs" / "data.md"


def test_keys_of_a_spec_are_in_the_guide() -> None:
    text = GUIDE.read_text()
    for key in FileSection.model_fields:
        assert f"`{key}`" in text or f"{key}:" in text
    (example,) = (block for block in page_blocks(GUIDE) if block.language == "yaml")
    FileSection.model_validate(yaml.safe_load(example.text)["dataset"])
