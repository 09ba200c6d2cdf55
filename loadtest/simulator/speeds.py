"""How fast the virtual engines are: seconds of a step's parts by accelerator, each with its source or marked assumed.

Of GPT-OSS-120B, one accelerator per replica. An H200's are fitted, every other one's are an H200's times a factor.

- H200 prefill: llm-d's recompute table (TTFT of 70.6, 205.4, 426.3, 983.0 and 1695 ms for 2048 to 49,152 tokens on one
  H200) is 24.4 ms + 6 ms a step of 8,192 tokens + 19.0 us a token + 0.58 ns a pair of tokens, within 0.2 % everywhere.
  The constant part is taken for what lies before the engine's queue: HTTP, tokenising, the front's process.
- H200 decode: 6 ms a step (TPOT p50 of 7 to 11 ms in llm-d's runs at light load) and 0.2 ms a sequence: Red Hat's
  Offline run of MLPerf v6.0 ran up to 320 sequences at 3,585 tokens/s a GPU, steps of 89 ms, prefill among them.
- KV reads: 37 kB a token (36 layers, 8 KV heads of 64, half the layers with a window) at 80 % of 4.8 TB/s. Assumed.
- Ratios: Offline tokens/s a GPU of gpt-oss-120b in MLPerf v6.0, prefill and decode alike (assumed: the benchmark has no
  figure for either alone).
- KV tokens: 1.22M on an H200 at 0.85 of its memory is llm-d's; others by memory less weights. Assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deployments.routing.seeds import Seed

OFFLINE = {"h200": 3585, "b200": 11_634, "b300": 13_937, "mi350x": 8037, "mi355x": 11_876}
"""Tokens/s a GPU of gpt-oss-120b in MLPerf v6.0: Red Hat, Red Hat, Cisco, Supermicro / Red Hat (open), AMD."""

MI300X_TO_MI325X, MI300X_TO_MI355X = 33.9 / 27.6, 97.5 / 27.6
"""1 : 1.23 : 3.53 of whole nodes with Llama2-70b in MLPerf v6.0."""


@dataclass(frozen=True)
class Speed:
    """Seconds of one replica's work. A step takes the sum of its parts.

    Attributes:
        arrival_s: from the choice of the replica to its queue; work of others goes on meanwhile.
        step_s: of a step, whatever is in it.
        token_s: of a prompt token.
        pair_s: of a prompt token's attention to a token before it.
        sequence_s: of a sequence that decodes.
        kv_token_s: of a token of context that a decoding sequence reads.
        image_token_s: of encoding a picture's token.
        audio_s: of a second of audio, encoded.
        kv_tokens: that its KV cache holds.
    """

    arrival_s: float
    step_s: float
    token_s: float
    pair_s: float
    sequence_s: float
    kv_token_s: float
    image_token_s: float
    audio_s: float
    kv_tokens: int
    source: str

    def times(self, prefill: float, source: str, kv_tokens: int | None = None, decode: float | None = None) -> Speed:
        """`prefill` times as slow in prefill, `decode` times in decode (default: as in prefill)."""
        decode = prefill if decode is None else decode
        return replace(
            self,
            step_s=self.step_s * decode,
            token_s=self.token_s * prefill,
            pair_s=self.pair_s * prefill,
            sequence_s=self.sequence_s * decode,
            kv_token_s=self.kv_token_s * decode,
            image_token_s=self.image_token_s * prefill,
            audio_s=self.audio_s * prefill,
            kv_tokens=self.kv_tokens if kv_tokens is None else kv_tokens,
            source=source,
        )

    def prefill_s(self, tokens: int, budget: int, image_tokens: int = 0, audio_s: float = 0.0) -> float:
        """Of a whole prompt, alone and with nothing cached, in steps of `budget` tokens."""
        steps = max(1, -(-tokens // budget))
        pairs = tokens * tokens / 2
        encoding = image_tokens * self.image_token_s + audio_s * self.audio_s
        return steps * self.step_s + tokens * self.token_s + pairs * self.pair_s + encoding

    def seed(self, budget: int) -> Seed:
        """The same as the router has it: the true rates, for a router that is to know them."""
        return Seed(
            request_s=self.step_s,
            kilotoken_s=1e3 * (self.token_s + self.step_s / budget),
            attention_s=1e6 * self.pair_s,
            image_kilotoken_s=1e3 * self.image_token_s,
            audio_s=self.audio_s,
            token_s=2 * self.step_s,
            step_s=self.step_s,
            sequence_step_s=self.sequence_s,
            source=self.source,
        )


H200 = Speed(
    arrival_s=0.024,
    step_s=0.006,
    token_s=19.0e-6,
    pair_s=0.58e-9,
    sequence_s=0.2e-3,
    kv_token_s=1.0e-8,
    image_token_s=20e-6,
    audio_s=1 / 4900,
    kv_tokens=1_220_000,
    source="fitted: the module's text; pictures assumed; audio: 485.6 samples/s of some 81 s over 8 H200",
)


def _by_offline(accelerator: str, kv_tokens: int) -> Speed:
    factor = OFFLINE["h200"] / OFFLINE[accelerator]
    return H200.times(factor, "Offline tokens/s of gpt-oss-120b in MLPerf v6.0, against an H200's", kv_tokens)


MI355X = _by_offline("mi355x", 4_000_000)
RATIO = "1 : 1.23 : 3.53 of MI300X : MI325X : MI355X nodes in MLPerf v6.0 (Llama2-70b), the last as it is here"

SPEEDS: dict[str, Speed] = {
    "h200": H200,
    "h100": H200.times(
        210 / 205.4,
        "210 ms for 8,192 tokens (llm-d's calibration); decode by memory bandwidth, 4.8 : 3.35 TB/s; KV assumed",
        250_000,
        decode=4.8 / 3.35,
    ),
    "b200": _by_offline("b200", 1_950_000),
    "b300": _by_offline("b300", 3_900_000),
    "mi350x": _by_offline("mi350x", 4_000_000),
    "mi355x": MI355X,
    "mi325x": MI355X.times(MI300X_TO_MI355X / MI300X_TO_MI325X, RATIO, 3_370_000),
    "mi300x": MI355X.times(MI300X_TO_MI355X, RATIO, 2_170_000),
}

CPU = Speed(
    arrival_s=0.004,
    step_s=0.012,
    token_s=0.5e-3,
    pair_s=0.1e-6,
    sequence_s=2e-3,
    kv_token_s=1e-7,
    image_token_s=1e-3,
    audio_s=0.05,
    kv_tokens=40_000,
    source="assumed: a small checkpoint on one core; `tests.bench.step_time` measures the true ones",
)


class UnknownSpeed(ValueError):
    """An accelerator that has no speed here."""


def speed_of(accelerator: str | None, engine: str, tensor_parallel: int = 1) -> Speed:
    """Of a pool's replica. Several accelerators count four fifths of what their number promises, and hold as many
    times the KV tokens (assumed, as in the router's seeds). Raises UnknownSpeed."""
    if accelerator is None and engine == "cpu":
        return CPU
    speed = SPEEDS.get((accelerator or "").lower())
    if speed is None:
        raise UnknownSpeed(
            f"no speed is known of accelerator '{accelerator}': set `accelerator` to one of {', '.join(SPEEDS)}"
        )
    if tensor_parallel == 1:
        return speed
    return speed.times(1 / (0.8 * tensor_parallel), speed.source, speed.kv_tokens * tensor_parallel)
