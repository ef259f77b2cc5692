"""An NTP server that is wrong by as many seconds as /run/wrong says."""

from __future__ import annotations

import socket
import time
from pathlib import Path

WRONG = Path("/run/wrong")

with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as line:
    line.bind(("::", 123))
    while True:
        _, address = line.recvfrom(512)
        wrong = float(WRONG.read_text()) if WRONG.exists() else 0.0
        now = int((time.time() + wrong + 2208988800) * 2**32)
        line.sendto(b"\x24\x02" + bytes(38) + now.to_bytes(8, "big"), address)
