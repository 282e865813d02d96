"""How a report looks to a person: 80 columns of plain text, and a line of progress while it is made."""

import sys
import textwrap
from collections.abc import Iterator

from websocket_heartbeat.cli.probe.advice import (
    close_in_words,
    cut_in_words,
    days_in_words,
    end_in_words,
    status_name,
)
from websocket_heartbeat.cli.probe.opening import STAGES
from websocket_heartbeat.cli.probe.report import Answer, Idle, Opening, Pings, Report, Trial
from websocket_heartbeat.redaction import printable

_WIDTH = 80
_LABEL = 15


def progress(text: str) -> None:
    """Show what is being done, in place of what was shown before; nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[: _WIDTH - 1]}", end="", file=sys.stderr, flush=True)


def render(report: Report) -> str:
    """Return the report as lines of text."""
    lines = [*_summary(report), ""]
    for label, text in _rows(report):
        lines += _wrapped(f"  {label:<{_LABEL - 2}}", text)
    if report.recommended is not None:
        # In one piece, to be copied.
        lines += ["", "Recommended:", "", f"  {report.recommended.line}", ""]
        for why in report.recommended.why:
            lines += _wrapped("  ", why)
        named = [name for name in ("URL", "MESSAGE") if name in report.recommended.line]
        if named:
            lines += _wrapped("  ", f"({' and '.join(named)}: as you gave it, not shown here.)")
    return "\n".join(printable(line) for line in lines)


def _summary(report: Report) -> Iterator[str]:
    if report.interrupted:
        yield f"Interrupted, and found so far: {report.url}"
    elif report.ok:
        yield f"Fine: {report.url}"
    else:
        yield f"Not well: {report.url}"
    if report.problems or report.notes:
        yield ""
    for problem in report.problems:
        yield from _wrapped("  problem: ", problem)
    for note in report.notes:
        yield from _wrapped("  note: ", note)


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    opening = report.opening
    yield from _opening_rows(opening)
    if report.verdict is not None:
        yield "the client", _verdict(report)
    if report.pings is None:
        return
    yield "pings", _pings(report.pings)
    if report.message is not None:
        yield "message", _answer(report.message)
    close = report.close
    if close is not None:
        answer = "not answered"
        if close.answered:
            what = close_in_words(close.code) if close.framed else "the end of the stream"
            answer = f"1000 was answered with {what} after {_ms(close.seconds)}"
        yield "close", answer
    if report.compression is not None:
        how = "accepted: connect(..., compression=True) uses it" if report.compression else "declined"
        yield "compression", f"permessage-deflate is {how}"
    yield "idle", "not tried (--idle SECONDS)" if report.idle is None else _idle(report.idle)
    for trial in report.trials:
        yield f"by {trial.heartbeat}s", _trial(trial)


def _opening_rows(opening: Opening) -> Iterator[tuple[str, str]]:
    for redirect in opening.redirects:
        yield "redirect", f"{redirect.status} to {redirect.to}"
    if opening.proxy is not None:
        yield "through", opening.proxy
    remarks = {"dns": _addresses(opening), "tls": _certificate(opening)}
    if opening.status is not None:
        remarks["handshake"] = status_name(opening.status)
    for stage, name in STAGES.items():
        if stage in opening.seconds:
            remark = remarks.get(stage, "")
            yield name, f"{_ms(opening.seconds[stage]):>10}" + (f"  {remark}" if remark else "")
        elif stage == opening.stage:
            yield name, f"{'failed':>10}"
    if opening.status is not None and opening.status != 101:
        for name, value in opening.headers:
            yield "", f"{name}: {value}"
        if opening.body_bytes != 0:
            size = "unknown length" if opening.body_bytes is None else f"{opening.body_bytes} bytes"
            yield "", f"(a body of {size}, not shown: connect shows its first line)"
    if opening.subprotocol is not None:
        yield "subprotocol", opening.subprotocol


def _addresses(opening: Opening) -> str:
    names = [entry.address for entry in opening.addresses]
    if len(names) == 1 or opening.connected_to is None:
        return ", ".join(names)
    return f"{len(names)} addresses, of which {opening.connected_to} was taken"


def _certificate(opening: Opening) -> str:
    tls = opening.tls
    if tls is None:
        return ""
    if tls.expires is None:
        return f"{tls.version}, the certificate is not verified"
    left = days_in_words(tls.days_left or 0)
    return f"{tls.version}, a certificate of {tls.issuer} until {tls.expires[:10]}, {left}"


def _verdict(report: Report) -> str:
    assert report.verdict is not None
    if report.verdict.final:
        return "gives up: this failure is final"
    after = report.verdict.retry_after
    hint = f", not before {after:g} s have passed, as the server asks" if after else ""
    return f"tries again: this failure may pass{hint}"


def _pings(pings: Pings) -> str:
    told = f"{pings.answered} of {pings.sent} answered"
    if pings.min is not None:
        figures = {"min": pings.min, "median": pings.median, "max": pings.max, "jitter": pings.jitter}
        told += f": {', '.join(f'{name} {(value or 0) * 1000:.1f}' for name, value in figures.items())} ms"
    return told


def _answer(answer: Answer) -> str:
    if not answer.answered:
        return "not answered"
    told = f"answered after {_ms(answer.seconds)} by a {answer.kind} message of {answer.bytes} bytes"
    if answer.unasked:
        told += f" (if that is an answer: {answer.unasked} came unasked before)"
    return told


def _idle(idle: Idle) -> str:
    if idle.cut:
        return cut_in_words(idle)
    told = f"not cut within {idle.seconds:.1f} s"
    if idle.spoke:
        told += f", in which the server spoke {idle.spoke} times by itself"
    return told if idle.checked else f"{told}, as far as can be seen without a heartbeat that is answered"


def _trial(trial: Trial) -> str:
    told = f"one every {trial.interval:g} s: "
    if not trial.cut:
        return told + f"not cut within {trial.seconds:.1f} s"
    end = "in silence" if trial.how == "silence" else end_in_words(trial.how or "", trial.code, trial.reason)
    return told + f"cut after {trial.seconds:.1f} s {end}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
