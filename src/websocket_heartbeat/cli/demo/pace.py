"""How fast the demo goes: the settings of its client, in proportion to the seconds that it may take."""

from dataclasses import dataclass

USUAL_SECONDS = 45.0
"""How long the play takes at a heartbeat of one second."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The settings of the client, in seconds: those for a demo of 45 s, scaled.

    tolerance: by how much a notice may miss its bound: what a busy machine may take to let us run.
    unit: what scenes are measured in.
    """

    interval: float
    timeout: float
    open_timeout: float
    initial: float
    maximum: float
    stable_after: float
    tolerance: float
    unit: float

    @classmethod
    def of(cls, seconds: float) -> "Pace":
        """Return the settings for a demo of about so many seconds."""
        unit = seconds / USUAL_SECONDS
        return cls(
            interval=unit,
            timeout=unit,
            open_timeout=1.5 * unit,
            initial=0.5 * unit,
            maximum=unit,
            stable_after=unit,
            tolerance=max(0.25, 0.25 * unit),
            unit=unit,
        )
