"""What can go wrong with a file, in words for people."""

from __future__ import annotations

from foundation.teams.errors import PortalError


class TooLarge(PortalError):
    """The file is over the size this portal takes."""

    status = 413


class FileMissing(PortalError):
    """The row is there and the bytes are not: a backup without its files, or a broken disk."""

    status = 410


class StoreUnwritable(PortalError):
    """The folder of the files takes no more bytes: full, read-only or not ours."""

    status = 507
