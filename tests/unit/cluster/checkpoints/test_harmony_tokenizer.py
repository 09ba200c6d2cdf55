"""The tokenizer file against OpenAI's own encoder, and the chat template against OpenAI's own rendering."""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from openai_harmony import (
    Conversation,
    DeveloperContent,
    HarmonyEncoding,
    HarmonyEncodingName,
    Message,
    ReasoningEffort,
    Role,
    SystemContent,
    load_harmony_encoding,
)
from tokenizers import Tokenizer

from cluster.checkpoints.harmony_tokenizer import _byte_spelling, harmony_tokenizer
from cluster.checkpoints.vendored import DATA

TEXTS = [
    "Hello world! 12345 + 678 = 13023.",
    "def f(x):\n    return x**2  # square\n\n\n",
    "It's the user's CamelCaseHTTPServer naïve café — “quotes” …",
    "日本語のテキストと中文混排还有한국어。",
    "emoji 😀👩‍👩‍👧 \u200d tabs\t\tand   spaces   \n \n",
    "https://example.com/a/b?c=d&e=f#g",
    "مرحبا بالعالم Здравствуй мир नमस्ते दुनिया",
    "e\u0301 vs \u00e9 combining",
    "'LL 'Ll i'Ve DON'T",
    "",
]


@pytest.fixture(scope="module")
def ranks() -> bytes:
    return lzma.decompress((DATA / "vocabulary" / "o200k_base.tiktoken.xz").read_bytes())


@pytest.fixture(scope="module")
def ours(harmony_tokenizer_file: str) -> Tokenizer:
    return Tokenizer.from_str(harmony_tokenizer_file)


@pytest.fixture(scope="module")
def theirs(ranks: bytes, tmp_path_factory: pytest.TempPathFactory) -> HarmonyEncoding:
    folder = tmp_path_factory.mktemp("encodings")
    (folder / "o200k_base.tiktoken").write_bytes(ranks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(folder))
        return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


@pytest.mark.parametrize("text", TEXTS)
def test_same_ids_and_back(ours: Tokenizer, theirs: HarmonyEncoding, text: str) -> None:
    ids = ours.encode(text, add_special_tokens=False).ids
    assert ids == theirs.encode(text)
    assert ours.decode(ids) == text


# Characters that openai_harmony's Unicode tables know too; newer ones differ between regex libraries.
PLANES = st.characters(codec="utf-8", max_codepoint=0x2FFF, exclude_categories=["Cn", "Cs"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(PLANES, max_size=60) | st.text("aAbB'sS 0\n\t.,é", max_size=40))
def test_same_ids_for_any_text(ours: Tokenizer, theirs: HarmonyEncoding, text: str) -> None:
    assume("<|" not in text)  # special tokens have a test of their own
    assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(text)


def test_special_tokens(ours: Tokenizer, theirs: HarmonyEncoding) -> None:
    text = "<|start|>assistant<|channel|>final<|constrain|>json<|message|>{}<|return|><|call|><|end|>"
    assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(text, allowed_special="all")
    assert ours.token_to_id("<|return|>") == 200002
    assert ours.get_vocab_size() == 200_019


def test_every_byte_has_a_spelling_of_its_own() -> None:
    spelling = _byte_spelling()
    assert len(set(spelling.values())) == 256
    assert all(character.isprintable() and not character.isspace() for character in spelling.values())


def test_a_rank_that_no_merge_reaches_is_an_error() -> None:
    with pytest.raises(ValueError, match="cannot be reached"):
        harmony_tokenizer({b"a": 0, b"b": 1, b"c": 2, b"abc": 3})


def conversation(effort: ReasoningEffort, *messages: dict[str, str]) -> Conversation:
    system = SystemContent.new().with_reasoning_effort(effort).with_conversation_start_date("2026-10-30")
    made = [Message.from_role_and_content(Role.SYSTEM, system)]
    for message in messages:
        match message:
            case {"role": "system", "content": text}:
                instructions = DeveloperContent.new().with_instructions(text)
                made.append(Message.from_role_and_content(Role.DEVELOPER, instructions))
            case {"role": "assistant", "content": text}:
                made.append(Message.from_role_and_content(Role.ASSISTANT, text).with_channel("final"))
            case {"content": text}:
                made.append(Message.from_role_and_content(Role.USER, text))
    return Conversation.from_messages(made)


@pytest.mark.parametrize("effort", list(ReasoningEffort))
def test_chat_template_renders_as_harmony_does(theirs: HarmonyEncoding, effort: ReasoningEffort) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 27 + 58?"},
        {"role": "assistant", "content": "85"},
        {"role": "user", "content": "And\nplus 1?"},
    ]
    rendered = theirs.render_conversation_for_completion(conversation(effort, *messages), Role.ASSISTANT)
    text = template(
        messages=messages,
        add_generation_prompt=True,
        conversation_start_date="2026-10-30",
        reasoning_effort=effort.value.lower(),
    )
    assert text == theirs.decode(rendered)


def test_chat_template_takes_content_in_parts() -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "2 + 2?"}]
    text = template(messages=[{"role": "user", "content": parts}], add_generation_prompt=False)
    assert text.endswith("<|start|>user<|message|>What is 2 + 2?<|end|>")


def template(**variables: Any) -> str:
    """Renders as transformers and vLLM do: blocks leave no white space behind."""
    path = Path(DATA, "tiny-gpt-oss-sums", "chat_template.jinja")
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(path.read_text()).render(**variables)
