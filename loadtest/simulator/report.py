"""The report page of a grid: a plot of each trace on each fleet, and the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from loadtest.plots.lines import line_plot
from loadtest.plots.svg import legend
from loadtest.report.page import document, table
from loadtest.simulator.cells import Figures
from loadtest.simulator.fleets import simulated_fleet
from loadtest.simulator.planning import Held
from loadtest.simulator.summary import FIGURES, Group, figures_of, names, p90_ttft, quantile, slo_share

LABEL = "simulated on virtual time: no engine ran"

Plot = tuple[str, Callable[[Figures], float], bool]
PLOTS: Sequence[Plot] = (
    ("p90 time to first token, s", p90_ttft, True),
    ("share of requests within the SLO", slo_share, False),
    ("share of input tokens found in caches", lambda figures: float(figures["token_hit_rate"]), False),
    ("p90 time per token, ms", lambda figures: 1e3 * quantile(figures, "tpot_s", "p90"), False),
)

_STYLE = """<style>
.figures { overflow-x: auto; font-size: 12px; font-variant-numeric: tabular-nums }
.figures td { white-space: nowrap; padding: .1rem .5rem }
</style>"""

HELD_HEADINGS = ("trace", "fleet", "rates", "policy", "highest load", "requests/s")


def report_page(groups: Sequence[Group], held: Sequence[Held] = ()) -> str:
    """A self-contained HTML document."""
    fleets = dict.fromkeys((group.cell.fleet, group.cell.model, group.cell.kv_tokens) for group in groups)
    parts = [f"<h2>Fleets</h2>{_fleets(list(fleets))}"]
    if held:
        parts.append(f"<h2>What fleets hold</h2>{table(HELD_HEADINGS, held_rows(held))}")
    named = names(group.cell.trace for group in groups)
    by_panel: dict[tuple[str, str, str], list[Group]] = {}
    for group in groups:
        by_panel.setdefault((group.cell.trace, group.cell.fleet, group.cell.rates), []).append(group)
    for (trace, fleet, rates), members in by_panel.items():
        parts.append(f"<h2>{escape(f'{named[trace]} on {fleet}, rates {rates}')}</h2>")
        parts.append(f"<p>{escape(trace)}. Means over the seeds, of which there are {len(members[0].runs)}.</p>")
        drawn = [group for group in members if group.cell.load is not None]
        if len({group.cell.load for group in drawn}) > 1:
            parts.append(_plots(drawn))
        parts.append(f'<div class="figures">{table(FIGURES, map(figures_of, members))}</div>')
    return document("Simulated fleets", LABEL, _STYLE, *parts)


def held_rows(held: Sequence[Held]) -> list[Sequence[str]]:
    named = names(h.trace for h in held)
    return [(named[h.trace], h.fleet, h.rates, h.policy, f"{h.load:.3f}", f"{h.rate:.2f}") for h in held]


def _plots(groups: Sequence[Group]) -> str:
    policies = list(dict.fromkeys(group.cell.policy for group in groups))
    drawn = []
    for title, of, logarithmic in PLOTS:
        lines = {
            policy: sorted((g.cell.load or 0.0, g.mean(of)) for g in groups if g.cell.policy == policy)
            for policy in policies
        }
        drawn.append(line_plot(title, "load", lines, logarithmic))
    return f'<div class="plots">{legend(policies)}{"".join(drawn)}</div>'


def _fleets(named: Sequence[tuple[str, str | None, int | None]]) -> str:
    headings = ("fleet", "pool", "replicas", "prefill of 8,192 tokens, s", "KV tokens", "slots", "step", "speed from")
    lines: list[Sequence[str]] = []
    for name, model, kv_tokens in named:
        fleet = simulated_fleet(name, model)
        for pool in dict.fromkeys(member.pool for member in fleet.members):
            members = [member for member in fleet.members if member.pool == pool]
            one = members[0]
            held = kv_tokens or one.speed.kv_tokens
            told = (f"{one.prefill_s(8192):.3f}", f"{held:,}", str(one.slots), str(one.budget), one.speed.source)
            lines.append((name, pool, str(len(members)), *told))
    return table(headings, lines)
