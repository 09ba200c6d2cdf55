"""One row of a results table from a run's summary."""

from __future__ import annotations

from typing import Any

HEADINGS = ("benchmark", "scenario", "mode", "model", "verdict", "result", "samples", "seconds", "accuracy", "caches")


def row(summary: dict[str, Any]) -> tuple[str, ...]:
    quick = " (quick)" if summary["label"].startswith("quick") else ""
    return (
        summary["benchmark"],
        summary["scenario"],
        summary["mode"] + quick,
        summary["model"],
        summary.get("verdict", summary["state"]),
        _result(summary),
        f"{summary['samples_answered']} of {summary['samples_issued']}",
        f"{summary['seconds']:.1f}",
        accuracy_cell(summary.get("accuracy")),
        summary["caches"],
    )


def remarks(summary: dict[str, Any]) -> list[str]:
    """What a reader must know beside the figures."""
    accuracy = summary.get("accuracy") or {}
    found = [*summary.get("reasons", ())]
    if obstacles := summary.get("not_submittable_because"):
        found.append(f"not submittable: {'; '.join(obstacles)}")
    if accuracy.get("note"):
        found.append(f"accuracy: {accuracy['note']}")
    if accuracy and accuracy["value"] is None:
        unscored = accuracy["detail"].get("not_scored_here", ())
        reason = f"{', '.join(unscored)} is not scored here" if unscored else "nothing was asked"
        found.append(f"accuracy: no overall value: {reason}")
    if summary.get("error"):
        found.append(summary["error"])
    return found


def _result(summary: dict[str, Any]) -> str:
    value = summary.get("value")
    return f"{value:,.2f} {summary['metric']}" if value is not None else "-"


def accuracy_cell(accuracy: dict[str, Any] | None) -> str:
    if not accuracy or accuracy["value"] is None:
        return "-"
    decimals = 4 if accuracy["unit"] == "" else 2
    unit = f" {accuracy['unit']}" if accuracy["unit"] else ""
    return f"{accuracy['value']:.{decimals}f}{unit} {accuracy['metric']}"
