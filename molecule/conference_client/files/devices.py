"""Write what a laptop's camera sees (a colour, a wandering bar) and its microphone hears (a tone).

usage: devices.py red|blue HERTZ      writes camera.y4m and microphone.wav
"""

from __future__ import annotations

import math
import struct
import sys
import wave
from pathlib import Path

WIDTH, HEIGHT, FRAMES = 320, 240, 30
RATE, SECONDS = 48000, 2
COLOURS = {"red": (82, 90, 240), "blue": (41, 240, 110)}  # Y, Cb, Cr
WHITE = 235


def camera(colour: str) -> bytes:
    """Return two seconds of video (YUV4MPEG2), over which the bar crosses the picture once."""
    luma, blue, red = COLOURS[colour]
    film = [b"YUV4MPEG2 W%d H%d F15:1 Ip A1:1 C420jpeg\n" % (WIDTH, HEIGHT)]
    for frame in range(FRAMES):
        left = frame * WIDTH // FRAMES
        row = bytes(WHITE if left <= x < left + 32 else luma for x in range(WIDTH))
        quarter = WIDTH * HEIGHT // 4
        film += [b"FRAME\n", row * HEIGHT, bytes([blue]) * quarter, bytes([red]) * quarter]
    return b"".join(film)


def main() -> None:
    """Write both files into the current directory."""
    colour, hertz = sys.argv[1], int(sys.argv[2])
    Path("camera.y4m").write_bytes(camera(colour))
    samples = (int(12000 * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(RATE * SECONDS))
    with wave.open("microphone.wav", "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        sound.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


if __name__ == "__main__":
    main()
