"""On a reference of our own making: MLCommons' texts are no part of this project."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from loadtest.benchmarks import product_prompt
from loadtest.benchmarks.base import DataError
from loadtest.benchmarks.product_prompt import JsonPrompt, Product, prompt_of
from loadtest.data.reference_prompt import PACKAGE, write_reference_prompt

TASK = '''
import os
os.abort()  # the code is read, and never run

class Task:
    def sample(sample, picture):
        return [
            {"role": "system", "content": f"""Name the category. JSON schema:
{json.dumps(ProductMetadata.model_json_schema(), indent=2)}
No {{fences}}."""},
            {"role": "user", "content": [
                {"type": "text", "text": f"""Title {sample['product_title']}, {sample["product_description"]}.
One of {sample['potential_product_categories']}, never {{nothing}}."""},
                {"type": "image_url", "image_url": {"url": f"data:image/{picture}"}},
            ]},
        ]
'''
SCHEMA = '''
class Other(Base):
    title: str

class ProductMetadata(Base):
    """What is asked for."""

    category: str
    """The category,
    in full."""

    is_secondhand: bool
    """Whether it was used."""
'''
SYSTEM = """Name the category. JSON schema:
{
  "additionalProperties": false,
  "description": "What is asked for.",
  "properties": {
    "category": {
      "description": "The category,\\nin full.",
      "title": "Category",
      "type": "string"
    },
    "is_secondhand": {
      "description": "Whether it was used.",
      "title": "Is Secondhand",
      "type": "boolean"
    }
  },
  "required": [
    "category",
    "is_secondhand"
  ],
  "title": "ProductMetadata",
  "type": "object"
}
No {fences}."""
USER = "Title {title}, {description}.\nOne of {categories}, never {{nothing}}."


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "inference" / PACKAGE
    package.mkdir(parents=True)
    (package / "task.py").write_text(TASK)
    (package / "schema.py").write_text(SCHEMA)
    monkeypatch.setattr(product_prompt, "OFFICIAL_SYSTEM_SHA256", hashlib.sha256(SYSTEM.encode()).hexdigest())
    monkeypatch.setattr(product_prompt, "OFFICIAL_USER_SHA256", hashlib.sha256(USER.encode()).hexdigest())
    return tmp_path / "inference"


def test_the_question_is_read_out_of_the_reference(checkout: Path, tmp_path: Path) -> None:
    write_reference_prompt(checkout, tmp_path)
    assert json.loads((tmp_path / "prompt.json").read_text()) == {"system": SYSTEM, "user": USER, "answer": "json"}
    prompt = prompt_of(tmp_path)
    assert isinstance(prompt, JsonPrompt)
    assert prompt.deviation is None
    system, user = prompt.messages(Product("A {mug}", "blue", ["x", "y"]), "data:")
    assert system["content"] == SYSTEM
    assert user["content"][0]["text"] == "Title A {mug}, blue.\nOne of ['x', 'y'], never {nothing}."


@pytest.mark.parametrize("module", ["task.py", "schema.py"])
@pytest.mark.parametrize("content", ["", "x = 1\n"])
def test_another_reference_is_refused_and_nothing_written(
    checkout: Path, tmp_path: Path, module: str, content: str
) -> None:
    (checkout / PACKAGE / module).write_text(content)
    with pytest.raises(DataError, match=r"holds other texts than those of the v6\.0 round"):
        write_reference_prompt(checkout, tmp_path)
    assert not (tmp_path / "prompt.json").exists()


def test_what_is_no_checkout(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"schema\.py: unreadable: .*; give the folder of a checkout"):
        write_reference_prompt(tmp_path, tmp_path)
    (checkout / PACKAGE / "task.py").write_text("(")
    with pytest.raises(DataError, match=r"task\.py: unreadable"):
        write_reference_prompt(checkout, tmp_path)
    with pytest.raises(DataError, match="no such folder; give that of the catalogue"):
        write_reference_prompt(checkout, tmp_path / "absent")
