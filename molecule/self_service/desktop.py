"""What a test sees and does in the person's session: the accessibility tree, pictures.

usage: desktop.py tree APPLICATION | press APPLICATION BUTTON | picture FILE | light | menu LABEL
It prints JSON. Keys are xdotool's matter.
"""

from __future__ import annotations

import collections
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import gi

gi.require_version("Atspi", "2.0")
gi.require_version("Gdk", "3.0")
from gi.repository import Atspi, Gdk, Gio, GLib  # noqa: E402 (the versions stand first)

STATES = {
    "showing": Atspi.StateType.SHOWING,
    "focused": Atspi.StateType.FOCUSED,
    "focusable": Atspi.StateType.FOCUSABLE,
}


def application(name: str) -> Any:
    """Return the top of an application's tree, or nothing."""
    desktop = Atspi.get_desktop(0)
    found = [desktop.get_child_at_index(number) for number in range(desktop.get_child_count())]
    return next((child for child in found if child and child.get_name() == name), None)


def walk(node: Any, depth: int = 0) -> Iterator[tuple[int, Any]]:
    """Go through what is showing, in the order of the tree."""
    yield depth, node
    for number in range(node.get_child_count()):
        child = node.get_child_at_index(number)
        if child is not None and child.get_state_set().contains(Atspi.StateType.VISIBLE):
            yield from walk(child, depth + 1)


def told(depth: int, node: Any) -> dict[str, Any]:
    """Return what a screen reader can say of one thing."""
    states = node.get_state_set()
    text = ""
    if "Text" in node.get_interfaces():
        text = Atspi.Text.get_text(node, 0, Atspi.Text.get_character_count(node))
    return {
        "depth": depth,
        "role": node.get_role_name(),
        "name": node.get_name() or text,
        "description": node.get_description(),
        **{key: states.contains(state) for key, state in STATES.items()},
    }


def tree(name: str) -> list[dict[str, Any]]:
    """Return the tree of an application, as it stands still; nothing where it is gone."""
    for _ in range(10):
        try:
            top = application(name)
            return [] if top is None else [told(depth, node) for depth, node in walk(top)]
        except GLib.Error:  # it changed, or is gone, while it was read
            time.sleep(0.2)
    return []


def press(name: str, button: str) -> bool:
    """Press a button as assistive technology does."""
    for _, node in walk(application(name)):
        if node.get_name() == button and "Action" in node.get_interfaces():
            return bool(Atspi.Action.do_action(node, 0))
    return False


def picture(file: str) -> dict[str, float]:
    """Write the screen to a file, and say which colours fill how much of it."""
    root = Gdk.get_default_root_window()
    pixels = Gdk.pixbuf_get_from_window(root, 0, 0, root.get_width(), root.get_height())
    pixels.savev(file, "png", [], [])
    step, line, raw = pixels.get_n_channels(), pixels.get_rowstride(), pixels.get_pixels()
    seen = collections.Counter(
        raw[y * line + x * step : y * line + x * step + 3].hex()
        for y in range(0, pixels.get_height(), 4)
        for x in range(0, pixels.get_width(), 4)
    )
    return {colour: count / seen.total() for colour, count in seen.most_common(40)}


def call(where: tuple[str, str], method: str, arguments: Any) -> Any:
    """Call something on the session's bus."""
    bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)
    interface, _, name = method.rpartition(".")
    answer = bus.call_sync(*where, interface, name, arguments, None, 0, 3000, None)
    return answer.unpack()


def item(number: str) -> tuple[str, str]:
    """Return where the tunnel's light is to be found, by way of the panel."""
    watcher = ("org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher")
    asked = GLib.Variant("(ss)", (watcher[0], "RegisteredStatusNotifierItems"))
    (items,) = call(watcher, "org.freedesktop.DBus.Properties.Get", asked)
    name, _, path = next(entry for entry in items if "nomade" in entry).partition("/")
    return name, f"/{path}{number}"


def entries() -> dict[str, int]:
    """Return the entries of the light's menu."""
    asked = GLib.Variant("(iias)", (0, -1, ["label"]))
    _, (_, _, found) = call(item("/Menu"), "com.canonical.dbusmenu.GetLayout", asked)
    return {values.get("label", ""): number for number, values, _ in found}


def light() -> dict[str, Any]:
    """Return what the panel is told of the tunnel."""
    told: dict[str, Any] = {}
    for key in ("Title", "Status", "IconName", "IconAccessibleDesc"):
        asked = GLib.Variant("(ss)", ("org.kde.StatusNotifierItem", key))
        (told[key],) = call(item(""), "org.freedesktop.DBus.Properties.Get", asked)
    return {**told, "menu": [label for label in entries() if label]}


def menu(label: str) -> bool:
    """Choose an entry of the light's menu, as the panel does."""
    asked = GLib.Variant("(isvu)", (entries()[label], "clicked", GLib.Variant("i", 0), 0))
    call(item("/Menu"), "com.canonical.dbusmenu.Event", asked)
    return True


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    known = {"tree": tree, "press": press, "picture": picture, "light": light, "menu": menu}
    print(json.dumps(known[what](*arguments)))
