"""What is taken for a replica's speed until its own answers tell: by accelerator, and where known by model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deployments.routing.work import Floats


@dataclass(frozen=True)
class Seed:
    """Seconds of one replica alone. `source` says where the figures come from.

    Attributes:
        request_s: of a request beside its tokens.
        kilotoken_s: of a thousand tokens at a prompt's start.
        attention_s: added by a million pairs of tokens.
        image_kilotoken_s: of encoding pictures to a thousand tokens.
        audio_s: of a second of audio, encoded and transcribed.
        token_s: between two tokens of an answer under load.
        step_s: of a decode step, whatever is in it.
        sequence_step_s: added to a decode step by one more sequence.
    """

    request_s: float
    kilotoken_s: float
    attention_s: float
    image_kilotoken_s: float
    audio_s: float
    token_s: float
    step_s: float
    sequence_step_s: float
    source: str

    def theta(self) -> Floats:
        """Seconds of each feature of `work.FEATURES`."""
        return np.array([self.request_s, self.kilotoken_s, self.attention_s, self.image_kilotoken_s, self.audio_s])

    def times(self, factor: float, source: str) -> Seed:
        """The same shape, `factor` times as slow, but for what a request takes on its way."""
        return Seed(
            request_s=self.request_s,
            kilotoken_s=self.kilotoken_s * factor,
            attention_s=self.attention_s * factor,
            image_kilotoken_s=self.image_kilotoken_s * factor,
            audio_s=self.audio_s * factor,
            token_s=self.token_s * factor,
            step_s=self.step_s * factor,
            sequence_step_s=self.sequence_step_s * factor,
            source=source,
        )


H200 = Seed(
    0.012,
    0.0222,
    0.00052,
    0.02,
    1 / 4900,
    0.010,
    0.006,
    2.0e-4,
    "llm-d's recompute table of gpt-oss-120b on one H200, 2k to 48k tokens, fitted; steps: its time per token at light "
    "load, and Red Hat's Offline run of MLPerf v6.0; audio: 8 x H200 in MLPerf v6.0",
)

ACCELERATORS: dict[str, Seed] = {
    "h200": H200,
    "h100": H200.times(1.12, "llm-d's calibration: 39,065 tokens/s of gpt-oss-120b at 8,192 on one H100"),
    "b200": H200.times(3585 / 11_634, "Offline rates per GPU of gpt-oss-120b in MLPerf v6.0"),
    "b300": H200.times(3585 / 13_937, "Offline rates per GPU of gpt-oss-120b in MLPerf v6.0"),
    "mi350x": H200.times(3585 / 8037, "Offline rates per GPU of gpt-oss-120b in MLPerf v6.0"),
    "mi355x": H200.times(3585 / 11_876, "Offline rates per GPU of gpt-oss-120b in MLPerf v6.0"),
    "mi300x": H200.times(1.3, "assumed"),
    "mi325x": H200.times(1.06, "MI300X : MI325X = 1 : 1.23 in Llama2-70b, MLPerf v6.0"),
    "l40s": H200.times(4.0, "assumed"),
}
UNKNOWN = H200.times(10.0, "assumed: one small engine on a CPU, or an accelerator without an entry")


def seed_of(accelerator: str | None, tensor_parallel: int = 1, model_scale: float = 1.0) -> Seed:
    """The seed of a replica: its accelerator's, `tensor_parallel` of them at four fifths of what their number promises.

    `model_scale`: how many times as slow as gpt-oss-120b (5 billion active parameters) the model is.
    """
    seed = ACCELERATORS.get((accelerator or "").lower(), UNKNOWN)
    gain = 1.0 if tensor_parallel == 1 else 0.8 * tensor_parallel
    return seed.times(model_scale / gain, seed.source)
