"""Short tests of microphone, speaker and camera through GStreamer; nothing is kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402 (the version stands first)

ELEMENTS = (
    "audioconvert",
    "audioresample",
    "audiotestsrc",
    "autoaudiosink",
    "autoaudiosrc",
    "gtksink",
    "level",
    "v4l2src",
    "videoconvert",
    "videoscale",
    "wavenc",
    "wavparse",
)
RECORD_MS = 3000
TONE_HZ = 440
TONE_BUFFERS = 86  # of 1024 samples at 44.1 kHz: two seconds
ANSWER_MS = 6000  # a device that says nothing for so long does not answer
HEARD_DB = -45.0  # a voice at arm's length is well above, the noise of an open microphone below
SILENCE_DB = -60.0
WIDTH, HEIGHT = 448, 252  # of the camera's picture

Say = Callable[[str], None]


def missing() -> list[str]:
    """Return the elements that no installed plugin brings."""
    Gst.init(None)
    return [name for name in ELEMENTS if Gst.ElementFactory.find(name) is None]


def share(decibel: float) -> float:
    """Return a level as a share of the meter."""
    return min(max((decibel - SILENCE_DB) / -SILENCE_DB, 0.0), 1.0)


class Player:
    """One pipeline at a time, with its messages; each test is a kind of it."""

    def __init__(self, say: Say) -> None:
        """Remember whom to tell: `say` takes the key of a sentence in texts.toml."""
        Gst.init(None)
        self.say = say
        self.pipeline: Any = None
        self.timers: list[int] = []

    def run(self, pipeline: Any) -> None:
        """Start a pipeline."""
        self.pipeline = pipeline
        bus = pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message", self._message)
        pipeline.set_state(Gst.State.PLAYING)

    def after(self, milliseconds: int, call: Callable[[], None]) -> None:
        """Call something later, unless the test is stopped before."""

        def fire() -> bool:
            call()
            return bool(GLib.SOURCE_REMOVE)

        self.timers.append(GLib.timeout_add(milliseconds, fire))

    def stop(self) -> None:
        """Let go of the device at once."""
        for timer in self.timers:
            if GLib.MainContext.default().find_source_by_id(timer):
                GLib.source_remove(timer)
        self.timers = []
        if self.pipeline is not None:
            self.pipeline.get_bus().remove_signal_watch()
            self.pipeline.set_state(Gst.State.NULL)
            self.pipeline = None

    def _message(self, _bus: Any, message: Any) -> None:
        if message.type == Gst.MessageType.ERROR:
            error, _ = message.parse_error()
            print(f"mon-poste: {error.message}", flush=True)
            self.failed()
        elif message.type == Gst.MessageType.EOS:
            self.ended()
        elif message.type == Gst.MessageType.ELEMENT:
            self.told(message.get_structure())

    def failed(self) -> None:
        """Say that the device does not answer."""
        raise NotImplementedError

    def ended(self) -> None:
        """Go on after the end of a stream."""
        raise NotImplementedError

    def told(self, structure: Any) -> None:
        """Hear what an element has to say."""


class Microphone(Player):
    """Record for three seconds, then play that back."""

    def __init__(self, say: Say, show_level: Callable[[float], None]) -> None:
        """Remember whom to tell, and who draws the level."""
        super().__init__(say)
        self.show_level = show_level
        self.loudest = SILENCE_DB
        self.recording = False
        self.heard_anything = False
        self.file = Path()

    def start(self) -> None:
        """Record."""
        self.stop()
        self.loudest, self.heard_anything, self.recording = SILENCE_DB, False, True
        # A directory in memory that only this person can read, emptied when the session ends.
        descriptor, name = tempfile.mkstemp(".wav", dir=os.environ.get("XDG_RUNTIME_DIR"))
        os.close(descriptor)
        self.file = Path(name)
        pipeline = Gst.parse_launch(
            "autoaudiosrc ! audioconvert ! audioresample ! audio/x-raw,channels=1,rate=44100"
            " ! level interval=100000000 ! wavenc ! filesink name=file"
        )
        pipeline.get_by_name("file").set_property("location", name)
        self.say("microphone_recording")
        self.run(pipeline)
        self.after(ANSWER_MS, self._silence)

    def _silence(self) -> None:
        if not self.heard_anything:
            self.failed()

    def told(self, structure: Any) -> None:
        """Draw the level; the first sound begins the three seconds."""
        if structure.get_name() != "level" or not self.recording:
            return
        if not self.heard_anything:
            self.heard_anything = True
            self.after(RECORD_MS, self._enough)
        level = max(structure.get_value("rms"))
        self.loudest = max(self.loudest, level)
        self.show_level(share(level))

    def _enough(self) -> None:
        self.pipeline.send_event(Gst.Event.new_eos())

    def ended(self) -> None:
        """Play what was recorded, then say what it was worth."""
        loudest = self.loudest
        if not self.recording:
            self.stop()
            self.say("microphone_good")
            return
        self.recording = False
        self.show_level(0.0)
        file = self.file
        super().stop()
        if loudest < HEARD_DB:
            self.stop()
            self.say("microphone_silent")
            return
        pipeline = Gst.parse_launch(
            "filesrc name=file ! wavparse ! audioconvert ! audioresample ! autoaudiosink"
        )
        pipeline.get_by_name("file").set_property("location", str(file))
        self.say("microphone_playing")
        self.run(pipeline)

    def failed(self) -> None:
        """Say which of the two devices does not answer."""
        key = "microphone_failed" if self.recording else "speaker_failed"
        self.stop()
        self.say(key)

    def stop(self) -> None:
        """Let go of the device and of the recording."""
        super().stop()
        self.recording = False
        self.show_level(0.0)
        if self.file.name:
            self.file.unlink(missing_ok=True)
            self.file = Path()


class Speaker(Player):
    """Play a tone."""

    def start(self) -> None:
        """Play."""
        self.stop()
        self.say("speaker_playing")
        self.run(
            Gst.parse_launch(
                f"audiotestsrc freq={TONE_HZ} volume=0.4 num-buffers={TONE_BUFFERS}"
                " ! audio/x-raw,rate=44100 ! audioconvert ! audioresample ! autoaudiosink"
            )
        )

    def ended(self) -> None:
        """Ask what was heard."""
        self.stop()
        self.say("speaker_done")

    def failed(self) -> None:
        """Say so."""
        self.stop()
        self.say("speaker_failed")


class Camera(Player):
    """Show what the camera sees."""

    def __init__(self, say: Say, show_picture: Callable[[Any], None]) -> None:
        """Remember whom to tell, and who takes the picture (None takes it away)."""
        super().__init__(say)
        self.show_picture = show_picture
        self.monitor: Any = None

    def start(self) -> None:
        """Look for a camera, of the kernel's or of PipeWire's, and show its picture."""
        self.stop()
        if self.monitor is None:
            # Kept for the life of the window: PipeWire's part (0.3.65) bears no second start.
            self.monitor = Gst.DeviceMonitor.new()
            self.monitor.add_filter("Video/Source", None)
            self.monitor.start()
        devices = self.monitor.get_devices()
        if not devices:
            self.say("camera_none")
            return
        # Small enough for every screen, and without the transparency that some cameras claim.
        pipeline = Gst.parse_launch(
            "videoconvert name=first ! videoscale add-borders=true"
            f" ! video/x-raw,format=BGRx,pixel-aspect-ratio=1/1,width={WIDTH},height={HEIGHT}"
            " ! gtksink name=screen"
        )
        source = devices[0].create_element("camera")
        pipeline.add(source)
        source.link(pipeline.get_by_name("first"))
        screen = pipeline.get_by_name("screen")
        widget = screen.get_property("widget")
        widget.set_size_request(WIDTH, HEIGHT)
        self.show_picture(widget)
        self.say("camera_starting")
        pad = screen.get_static_pad("sink")
        pad.add_probe(Gst.PadProbeType.BUFFER, self._first_picture)
        self.run(pipeline)
        self.after(ANSWER_MS, self.failed)

    def _first_picture(self, _pad: Any, _info: Any) -> Any:
        """Be told by the streaming thread that a picture has come."""
        GLib.idle_add(self._good)
        return Gst.PadProbeReturn.REMOVE

    def _good(self) -> bool:
        if self.pipeline is not None:
            for timer in self.timers:
                GLib.source_remove(timer)
            self.timers = []
            self.say("camera_good")
        return bool(GLib.SOURCE_REMOVE)

    def ended(self) -> None:
        """Treat a camera that ends its pictures as one that gives none."""
        self.failed()

    def failed(self) -> None:
        """Say that there is no picture."""
        self.stop()
        self.say("camera_failed")

    def stop(self) -> None:
        """Let go of the camera."""
        super().stop()
        self.show_picture(None)
