"""Which close codes of a server end a connection for good."""


class FinalCodes:
    """Close codes after which a server is not to be asked again: those from `first` to `last`, and more.

    rest: further ones, None for no more.
    """

    def __init__(self, first: int, last: int, rest: "FinalCodes | None") -> None:
        self.first = first
        self.last = last
        self.rest = rest


def is_final_code(code: int | None, among: FinalCodes | None) -> bool:
    """Whether a close code, None if there was none, is among those that are final."""
    codes = among
    while code is not None and codes is not None:
        if codes.first <= code and code <= codes.last:
            return True
        codes = codes.rest
    return False
