"""Why a request is not answered: a kind, a sentence and a status of HTTP, always in the same form."""

from __future__ import annotations

from xmap.store.errors import XmapError

# kind: (status, when)
KINDS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request is no HTTP, no JSON, no multipart form, or not what this page describes."),
    "unauthorized": (401, "The token is missing or another."),
    "not-allowed": (403, "The S3 path is below none of the prefixes that the server allows."),
    "not-found": (404, "There is nothing at this address."),
    "wrong-method": (405, "The address takes another method."),
    "slow": (408, "The request did not arrive in time."),
    "too-large": (413, "The request has more bytes or images than the server takes."),
    "unsupported": (415, "The body is neither JSON nor a multipart form, or it is compressed."),
    "wrong-host": (421, "The request names a host that this server is not."),
    "bad-image": (422, "None of the images can be read."),
    "failed": (500, "The server failed; its log says why."),
    "unreachable": (502, "The storage of the S3 paths does not answer."),
    "busy": (503, "Too much waits already; try again after `Retry-After` seconds."),
    "late": (504, "The answer was not there in time."),
}
RETRY_SECONDS = 1


class Refused(XmapError):
    """A request that is not answered. `kind` is one of KINDS; the sentence holds no path of this machine."""

    def __init__(self, kind: str, sentence: str) -> None:
        self.kind, self.sentence, self.status = kind, sentence, KINDS[kind][0]
        super().__init__(sentence)

    @property
    def body(self) -> dict[str, str]:
        """What the client gets."""
        return {"kind": self.kind, "message": self.sentence}

    @property
    def headers(self) -> dict[str, str]:
        """What the client needs to do better."""
        if self.kind == "busy":
            return {"retry-after": str(RETRY_SECONDS)}
        return {"www-authenticate": "Bearer"} if self.kind == "unauthorized" else {}
