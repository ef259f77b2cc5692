"""Open a page in this machine's Chromium, and print what an expression in it comes to.

usage: browser.py PAGE EXPRESSION [CHROMIUM'S FLAGS...]
PAGE is an address, or "launcher" for what the menu's entry opens. The browser runs as whoever calls
this, with a screen (Xvfb), a camera and a microphone that play files, and a profile of its own.
Nothing answers its questions: a permission that it would have to ask for is never given. Speaks
Chromium's DevTools protocol through a pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LAUNCHER = Path("/usr/local/share/applications/nomade-conference.desktop")
FLAGS = [
    "--remote-debugging-pipe",
    "--use-fake-device-for-media-stream",  # without --use-fake-ui, which would answer the questions
    f"--use-file-for-fake-video-capture={HERE}/camera.y4m",
    f"--use-file-for-fake-audio-capture={HERE}/microphone.wav",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--window-size=900,600",
]


@contextlib.contextmanager
def screen() -> Iterator[dict[str, str]]:
    """Start a screen that nobody sees."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "960x640x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        try:
            with os.fdopen(read) as answer:
                yield {**os.environ, "DISPLAY": f":{answer.readline().strip()}"}
        finally:
            server.terminate()


class Browser:
    """A running Chromium, and the conversation with it."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, answers: int) -> None:
        """Keep both ends of the pipe."""
        self.process, self.to, self.answers = process, to, answers
        self.number, self.rest, self.session = 0, b"", ""
        self.said: list[str] = []

    def messages(self, deadline: float) -> Iterator[dict[str, Any]]:
        """Yield what Chromium sends; each message ends with a zero byte."""
        while True:
            while b"\0" in self.rest:
                message, self.rest = self.rest.split(b"\0", 1)
                yield json.loads(message)
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.answers], [], [], left)[0]:
                raise TimeoutError("Chromium did not answer in time")
            received = os.read(self.answers, 1 << 20)
            if not received:
                raise EOFError(f"Chromium ended ({self.process.poll()})")
            self.rest += received

    def call(self, method: str, seconds: float = 20, **parameters: Any) -> dict[str, Any]:
        """Have something done and return what came of it."""
        self.number += 1
        order: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            order["sessionId"] = self.session
        os.write(self.to, json.dumps(order).encode() + b"\0")
        for message in self.messages(time.monotonic() + seconds):
            if message.get("method") == "Runtime.consoleAPICalled":
                words = [str(a.get("value")) for a in message["params"]["args"]]
                self.said.append(" ".join(words))
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return dict(message["result"])
        raise AssertionError("unreachable")

    def attach(self) -> None:
        """Turn to the page that Chromium opened with."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for target in self.call("Target.getTargets")["targetInfos"]:
                if target["type"] == "page":
                    found = self.call(
                        "Target.attachToTarget", targetId=target["targetId"], flatten=True
                    )
                    self.session = found["sessionId"]
                    return
            time.sleep(0.2)
        raise TimeoutError("Chromium has no page")

    def evaluate(self, expression: str, seconds: float = 20) -> Any:
        """Return what an expression comes to, as if the person had just clicked."""
        answer = self.call(
            "Runtime.evaluate",
            seconds,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def settle(self) -> str:
        """Wait until the page is there and return its address."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            state = self.evaluate("[location.href, document.readyState]")
            if state[0] != "about:blank" and state[1] == "complete":
                return str(state[0])
            time.sleep(0.2)
        raise TimeoutError("the page does not load")


def command_for(page: str) -> list[str]:
    """Return how the person starts the browser."""
    if page != "launcher":
        return ["chromium", f"--app={page}"]
    lines = LAUNCHER.read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("Exec="))
    return [word.replace("%%", "%") for word in shlex.split(line.removeprefix("Exec="))]


@contextlib.contextmanager
def chromium(page: str, flags: list[str]) -> Iterator[Browser]:
    """Start Chromium with its pipes as file descriptors 3 and 4, where it looks for them."""
    orders, to = os.pipe()
    answers, told = os.pipe()

    def place() -> None:
        high = [os.dup2(fd, fd + 50) for fd in (orders, told)]
        for fd, target in zip(high, (3, 4), strict=True):
            os.dup2(fd, target)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, screen() as environ:
        command = [*command_for(page), *FLAGS, f"--user-data-dir={profile}", *flags]
        with subprocess.Popen(
            command, preexec_fn=place, close_fds=False, env=environ, stderr=subprocess.PIPE
        ) as process:
            os.close(orders)
            os.close(told)
            browser = Browser(process, to, answers)
            try:
                yield browser
            except EOFError as error:
                assert process.stderr is not None
                raise RuntimeError(f"{error}: {process.stderr.read().decode()[-2000:]}") from error
            finally:
                process.terminate()


def main() -> None:
    """Print the result as JSON."""
    page, expression, *flags = sys.argv[1:]
    with chromium(page, flags) as browser:
        browser.attach()
        browser.call("Runtime.enable")
        address = browser.settle()
        value = browser.evaluate(expression, 90)
        print(json.dumps({"address": address, "value": value, "said": browser.said[-20:]}))
        with contextlib.suppress(EOFError, RuntimeError, TimeoutError):
            browser.session = ""
            browser.call("Browser.close", 5)


if __name__ == "__main__":
    main()
