"""Draws the figures of docs/figures with matplotlib; without it they stay as they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent.parent / "docs" / "figures"

_OURS = "#0b6e4f"
_PEERS = ("#b0b7bf", "#8a94a0", "#666f7a", "#454c55")


def storm(attempts_per_second: Mapping[str, Sequence[int]]) -> None:
    """Attempts per second of each policy, after an outage of 20 s."""
    figure = _figure(7, 3.6)
    if figure is None:
        return
    axes = figure.subplots()
    peers = iter(_PEERS)
    for policy, counts in attempts_per_second.items():
        is_ours = policy.startswith("ours")
        axes.plot(
            # 0 has no logarithm: no client tries any more.
            [count or None for count in counts],
            label=policy,
            color=_OURS if is_ours else next(peers),
            linestyle="--" if "advice" in policy else "-",
            linewidth=1.8 if is_ours else 1.0,
        )
    axes.axvspan(0, 20, color="#f4e3e3", zorder=0)
    axes.set_yscale("log")
    axes.set_xlabel("seconds since the server went away; it is back after 20")
    axes.set_ylabel("attempts per second")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    _save(figure, "storm")


def admission(back_per_second: Mapping[str, Sequence[int]], clients: int, whole: float) -> None:
    """The share of the herd that is back, without and with a limit of the hub; whole: N/C in seconds."""
    figure = _figure(7, 3.6)
    if figure is None:
        return
    axes = figure.subplots()
    styles = iter(("-", "--", ":", "-."))
    for case, counts in back_per_second.items():
        shares = [0.0]
        for count in counts:
            shares.append(shares[-1] + 100 * count / clients)
        is_ours = case.startswith("limit")
        axes.plot(
            shares,
            label=case,
            color=_OURS if is_ours else _PEERS[1],
            linestyle=next(styles) if is_ours else "-",
            linewidth=1.6,
        )
    axes.plot([0, whole], [0, 100], label="the most that can be served", color="#d9b3b3", linewidth=1.0)
    axes.set_xlim(0, 2.2 * whole)
    axes.set_xlabel("seconds since the server is back, after an outage of 20")
    axes.set_ylabel("clients that are back, %")
    axes.legend(frameon=False, fontsize=8)
    _save(figure, "admission")


def bars(name: str, title: str, values: Mapping[str, float]) -> None:
    """One bar for each contender, ours first and in colour."""
    figure = _figure(7, 0.5 + 0.32 * len(values))
    if figure is None:
        return
    axes = figure.subplots()
    labels = list(values)
    colours = [_OURS if label.startswith("ours") else _PEERS[1] for label in labels]
    drawn = axes.barh(labels, list(values.values()), color=colours, height=0.65)
    axes.bar_label(drawn, fmt="{:,.3g}", padding=4, fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=9, loc="left")
    axes.xaxis.set_visible(False)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    _save(figure, name)


def _figure(width: float, height: float) -> Any:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        print("(no matplotlib: the figure is not drawn)")
        return None
    # The same data must give the same file: no random names, no date, and text as text.
    matplotlib.rcParams["svg.hashsalt"] = "websocket-heartbeat"
    matplotlib.rcParams["svg.fonttype"] = "none"
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, name: str) -> None:
    FIGURES.mkdir(parents=True, exist_ok=True)
    path = FIGURES / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    # Lines without trailing blanks, as every file of the repository has them.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
