"""A pyinfra deploy that keeps the state that Nomade has made: bench.py reads it off a machine."""

from __future__ import annotations

import json
from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

STATE = Path(__file__).parent
KEPT = json.loads((STATE / "state.json").read_text(encoding="utf-8"))

apt.packages(name="Packages", packages=KEPT["packages"], no_recommends=True)
LOGIN_SHELL = {"shell": "/bin/bash"}
server.user(name="Account", user=host.data.login, ensure_home=True, **LOGIN_SHELL)
for entry in KEPT["entries"]:
    owned = {"user": entry["user"], "group": entry["group"]}
    path = f"/{entry['path']}"
    if entry["kind"] == "directory":
        files.directory(name=path, path=path, mode=entry["mode"], **owned)
    elif entry["kind"] == "symbolic link":
        files.link(name=path, path=path, target=entry["target"])
    else:
        source = str(STATE / "files" / entry["path"])
        files.put(name=path, src=source, dest=path, mode=entry["mode"], **owned)
for unit in KEPT["units"]:
    systemd.service(name=unit, service=unit, running=None, enabled=True)
# Its exit code is the worst state that it found, which is an answer as well.
server.shell(name="What holds", commands=["nomade-check --json --refresh || [ $? -le 3 ]"])
