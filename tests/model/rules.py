"""The rules of the protocol, without each of which the model breaks, and the invariants.

docs/session.md names each of them where it applies.
"""

RULES = {
    "fence": "a write to the store carries the link number and fails if a newer link has claimed the session",
    "ordinal": "a resume counts only if its link number is higher than any before",
    "handoff": "a session leaves a live node only when that node has recorded what it has begun",
    "record_before_ack": "the server acknowledges what is recorded, not what is merely done",
    "ack_handled": "the server acknowledges what is handled, not what is received",
    "client_ack_handled": "the client acknowledges what is handled, not what is received",
    "append_before_send": "a message is in the store before it is on a link",
    "lineage": "a store that may have forgotten writes has a new lineage, and a resume compares it",
    "repair": "a live owner writes its session again into a store that forgot",
    "range": "a resume compares all four positions and resets if they contradict",
    "numbers": "a message that is not the next is not taken: the link is dropped",
    "window": "a sender keeps at most a window of unacknowledged messages",
    "exact_replay": "a replay starts after what the peer has received",
    "snapshot_deleted": "a snapshot is deleted when the program is shown again",
    "snapshot_handled": "a snapshot says what was handled; what was only received is forgotten",
    "restored_waits": "a client that starts from a snapshot numbers no message before its first welcome",
    "frozen": "while its snapshot lies on disk a client handles, sends and acknowledges nothing",
    "tombstone": "an ended session is remembered as ended",
    "tombstone_reason": "a tombstone tells an end from a reset",
    "dismissed_final": "a dismissed client does not start anew",
    "end_after_handled": "an end takes effect when all before it is handled",
    "current_link": "a node takes frames of a session only from the link that has claimed it last",
    "stable_key": "the key of a session stays; a key that a resume replaces is lost with the answer",
    "given": "who has given a session up vouches for it until another node has claimed it",
    "claimed": "who has claimed a session vouches for it until it goes on with it",
    "still_claimed": "who has claimed a session goes on with it only if it has not given it up meanwhile",
    "newer_link": "a session is not given up for a link that is older than its own",
    "same_claim": "a session is taken from the claim that was asked about, not from one that was made since",
    "ask_all": "before a reset for a lost lineage or record all nodes are asked for the session",
}

INVARIANTS = {
    "J1": "no message is handled twice, but the one whose effect a crash separated from its record",
    "J2": "the messages of a session are handled in the order in which they were accepted, without a gap",
    "J3": "what a sender forgets because of an acknowledgement has been handled",
    "J4": "a resumed session has lost nothing: what the server accepted and the client lacks is in the log",
    "J5": "outbox and inbox never exceed the window",
    "J6": "a session is reset, or its client turned away, only for a cause",
    "J7": "a client that was dismissed never comes back",
    "J8": "progress: with one more link that holds, everything can still be delivered",
    "J9": "on a link that loses nothing, every message is the next one",
}


class Violation(Exception):
    """An invariant does not hold: which, and what has happened."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(invariant, text)
        self.invariant = invariant

    def __str__(self) -> str:
        return " ".join(self.args)


def require(condition: object, invariant: str, text: str) -> None:
    """Raise Violation unless the condition holds."""
    if not condition:
        raise Violation(invariant, text)
