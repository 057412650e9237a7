"""How much one row of a file may hold. What is larger is named and passed over, never read into memory."""

from __future__ import annotations

MAX_COLUMNS = 1000
MAX_LINE_BYTES = 4 * 1024 * 1024
