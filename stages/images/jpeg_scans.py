"""How often a JPEG goes over its picture: one of a few hundred kilobytes can go over all of its pixels ten thousand times."""

from __future__ import annotations

import re

START, END, SCAN = b"\xff\xd8", 0xD9, b"\xff\xda"
# Writers of progressive files use some ten; what libjpeg's own tools take for an attack is 500.
MOST = 500
# One FF: fill bytes before it are skipped by the search, and a long run of them takes no quadratic time.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)


def has_too_many_scans(data: bytes) -> bool:
    """Whether the first picture of a JPEG has more than `MOST` scans."""
    # Their signs may stand by chance in profiles, in small pictures inside, and in a film that lies behind: only many are worth a walk.
    if not data.startswith(START) or data.count(SCAN) <= MOST:
        return False
    place, scans = len(START), 0
    while scans <= MOST and (marker := _MARKER.search(data, place)) and marker[0][-1] != END:
        scans += marker[0][-1:] == SCAN[1:]
        # What a marker brings is as long as it says; behind the head of a scan come its pixels, in which no marker stands by chance.
        place = marker.end() + max(2, int.from_bytes(data[marker.end() : marker.end() + 2], "big"))
    return scans > MOST
