"""A checkpoint with a tokenizer of bytes, made in a moment."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from deployments.gateway.preparation.prompts.checkpoint import Checkpoint
from deployments.gateway.preparation.prompts.pictures import QwenGrid

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>", "<|vision_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(SPECIAL)
    return made


IMAGE_PAD = 256 + SPECIAL.index("<|image_pad|>")
GRID = QwenGrid(IMAGE_PAD, cell=32, fewest=1024, most=65536)


def checkpoint(template: str | None = TEMPLATE) -> Checkpoint:
    return Checkpoint(
        tokenizer=tokenizer().to_str(),
        template=template,
        special_tokens={"eos_token": "<|im_end|>"},
        config={"model_type": "qwen3_vl_moe", "image_token_id": IMAGE_PAD},
        processor={"patch_size": 16, "merge_size": 2, "size": {"shortest_edge": 1024, "longest_edge": 65536}},
    )
