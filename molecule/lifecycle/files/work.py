"""What a person does at work, as that person: a page with a cookie, a document, both for real.

usage: work.py PAGE COOKIE DOCUMENT
Chromium writes its history and its cookies, LibreOffice its list of recent documents.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROFILE = Path.home() / ".config/chromium"


class Browser:
    """Chromium without a window, with the person's own profile, led through a pipe."""

    def __init__(self, page: str) -> None:
        """Start it with its pipes as file descriptors 3 and 4, where it looks for them."""
        orders, self.to = os.pipe()
        self.answers, told = os.pipe()

        def place() -> None:
            high = [os.dup2(fd, fd + 50) for fd in (orders, told)]
            for fd, target in zip(high, (3, 4), strict=True):
                os.dup2(fd, target)

        flags = ["--headless=new", "--no-first-run", "--disable-gpu", "--no-sandbox"]
        quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        self.process = subprocess.Popen(
            [
                "chromium",
                *flags,
                *quiet,
                f"--user-data-dir={PROFILE}",
                "--remote-debugging-pipe",
                page,
            ],
            preexec_fn=place,
            close_fds=False,
            stderr=subprocess.DEVNULL,
        )
        self.number, self.rest, self.session = 0, b"", ""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have something done and return what came of it."""
        self.number += 1
        order: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            order["sessionId"] = self.session
        os.write(self.to, json.dumps(order).encode() + b"\0")
        while True:
            while b"\0" in self.rest:
                message, self.rest = self.rest.split(b"\0", 1)
                answer = json.loads(message)
                if answer.get("id") == self.number:
                    return dict(answer["result"])
            received = os.read(self.answers, 1 << 20)
            if not received:
                return {}
            self.rest += received

    def evaluate(self, expression: str) -> Any:
        """Return what an expression in the page comes to."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def visit(self, cookie: str) -> str:
        """Wait for the page, take its cookie, and leave as a person does."""
        target: list[dict[str, Any]] = []
        while not target:
            infos = self.call("Target.getTargets")["targetInfos"]
            target = [info for info in infos if info["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=target[0]["targetId"], flatten=True)
        self.session = attached["sessionId"]
        while self.evaluate("document.readyState + location.protocol") != "completehttp:":
            time.sleep(0.1)
        self.evaluate(f"document.cookie = '{cookie}=oui; max-age=8640000'")
        seen = str(self.evaluate("document.cookie + ' ' + document.body.innerText"))
        self.session = ""
        self.call("Browser.close")
        self.process.wait(timeout=30)
        return seen


def write(path: Path) -> None:
    """Write a document and open it again, so that it is the first of the recent ones."""
    import uno  # LibreOffice's own, on the machine only
    from com.sun.star.beans import PropertyValue  # as above

    pipe = f"work-{os.getpid()}"
    office = subprocess.Popen(
        ["soffice", "--headless", "--norestore", f"--accept=pipe,name={pipe};urp;"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    local = uno.getComponentContext()
    resolver = local.ServiceManager.createInstanceWithContext(
        "com.sun.star.bridge.UnoUrlResolver", local
    )
    for _ in range(200):
        try:
            context = resolver.resolve(f"uno:pipe,name={pipe};urp;StarOffice.ComponentContext")
            break
        except Exception:  # the bridge's exceptions have no class of their own
            time.sleep(0.2)
    desktop = context.ServiceManager.createInstanceWithContext(
        "com.sun.star.frame.Desktop", context
    )
    document = desktop.loadComponentFromURL("private:factory/swriter", "_blank", 0, ())
    document.Text.String = f"Compte rendu de {path.stem}"
    document.storeAsURL(path.as_uri(), (PropertyValue("FilterName", 0, "writer8", 0),))
    document.close(True)
    again = desktop.loadComponentFromURL(path.as_uri(), "_blank", 0, ())
    again.close(True)
    desktop.terminate()
    office.wait(timeout=60)


if __name__ == "__main__":
    print(Browser(sys.argv[1]).visit(sys.argv[2]))
    write(Path(sys.argv[3]))
