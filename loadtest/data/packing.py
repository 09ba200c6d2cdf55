"""How MLCommons joins a chapter's utterances to clips of up to 30 s (speech2text/utils/repackage_librispeech.py)."""

from __future__ import annotations

from collections.abc import Sequence

CLIP_S = 30.0
GAP_S = 0.5
"""Of silence, between two utterances of a clip."""


def pack(seconds: Sequence[float]) -> list[list[int]]:
    """Numbers of the utterances in each clip: as many in a row as fit. Utterances above 30 s are left out.

    The durations are added up as floating point numbers, in the published order: exact ones could put an utterance that
    fits to the last sample into another clip than the published one.
    """
    clips: list[list[int]] = []
    length = 0.0
    for number, duration in enumerate(seconds):
        if duration > CLIP_S:
            continue
        if clips and not length + GAP_S + duration > CLIP_S:
            clips[-1].append(number)
            length = length + duration + GAP_S
        else:
            clips.append([number])
            length = duration
    return clips
