"""Open pages in this machine's Firefox, and print what an expression in each comes to.

usage: firefox.py EXPRESSION PAGE...
Speaks Marionette, Firefox's protocol for tests: LENGTH:[0, NUMBER, COMMAND, PARAMETERS] over TCP.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PREFERENCES = """
user_pref("media.navigator.streams.fake", true);
user_pref("marionette.port", 0);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
"""


class Marionette:
    """The conversation with a running Firefox."""

    def __init__(self, port: int) -> None:
        """Connect and hear its greeting."""
        self.connection = socket.create_connection(("127.0.0.1", port), 10)
        self.connection.settimeout(60)
        self.number, self.rest = 0, b""
        self.receive()

    def receive(self) -> Any:
        """Return the next message."""
        while b":" not in self.rest:
            self.rest += self.connection.recv(65536)
        length, _, self.rest = self.rest.partition(b":")
        while len(self.rest) < int(length):
            self.rest += self.connection.recv(65536)
        message, self.rest = self.rest[: int(length)], self.rest[int(length) :]
        return json.loads(message)

    def call(self, command: str, **parameters: Any) -> Any:
        """Have something done and return what came of it."""
        self.number += 1
        order = json.dumps([0, self.number, command, parameters]).encode()
        self.connection.sendall(b"%d:%s" % (len(order), order))
        _, _, error, result = self.receive()
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return result


def wait_for_port(profile: Path) -> int:
    """Return the port that Firefox writes into its profile once it listens."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        file = profile / "MarionetteActivePort"
        if file.is_file() and (text := file.read_text(encoding="utf-8").strip()):
            return int(text)
        time.sleep(0.2)
    raise TimeoutError("Firefox does not start")


def main() -> None:
    """Print the results as JSON, by page."""
    expression, *pages = sys.argv[1:]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        profile = Path(name)
        (profile / "user.js").write_text(PREFERENCES, encoding="utf-8")
        command = ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", name]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                firefox = Marionette(wait_for_port(profile))
                firefox.call("WebDriver:NewSession", acceptInsecureCerts=False)
                for page in pages:
                    firefox.call("WebDriver:Navigate", url=page)
                    script = f"{expression}.then(arguments[0], e => arguments[0]('error: ' + e))"
                    answer = firefox.call("WebDriver:ExecuteAsyncScript", script=script, args=[])
                    found[page] = answer["value"]
            finally:
                process.terminate()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
