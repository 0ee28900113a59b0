"""What happened to a frame whose motion was estimated."""

from enum import IntFlag

__all__ = ["Flag"]


class Flag(IntFlag):
    """Bits of a frame; 0: nothing to say."""

    RIGID_FALLBACK = 1
    """The field is a rigid shift: an elastic one did not explain the frame better."""
    CLIPPED = 2
    """The elastic part exceeded what is believed of the recording, and was made smaller."""
    INFLATED = 4
    """The frame moved more than others, so that its prior was widened."""
    OUT_OF_RANGE = 8
    """The shift is at the end of the range that is searched, or beyond it."""
    NO_CONTRAST = 16
    """Frame or reference show nothing that motion could be told from; the field is what is left to assume."""
    NOT_FINITE = 32
    """Some pixels of the frame are no numbers; they were left out."""

    @property
    def meaning(self) -> str:
        """A few words for people."""
        return "; ".join(_MEANINGS[flag] for flag in self) or "nothing to say"


_MEANINGS = {
    Flag.RIGID_FALLBACK: "rigid: an elastic field did not explain the frame better",
    Flag.CLIPPED: "elastic part larger than is believed, made smaller",
    Flag.INFLATED: "moved more than other frames",
    Flag.OUT_OF_RANGE: "shift at the end of the range that is searched",
    Flag.NO_CONTRAST: "nothing that motion could be told from",
    Flag.NOT_FINITE: "pixels that are no numbers, left out",
}
