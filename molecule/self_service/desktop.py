"""What a test sees and does in the person's session: the accessibility tree, pictures.

usage: desktop.py tree APPLICATION | press APPLICATION BUTTON | picture FILE
It prints JSON. Keys are xdotool's matter.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import gi

gi.require_version("Atspi", "2.0")
gi.require_version("Gdk", "3.0")
from gi.repository import Atspi, Gdk, GLib  # noqa: E402 (the versions stand first)

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
    """Return the tree of an application."""
    top = application(name)
    if top is None:
        return []
    try:
        return [told(depth, node) for depth, node in walk(top)]
    except GLib.Error:  # it changed, or is gone, while it was read
        return []


def press(name: str, button: str) -> bool:
    """Press a button as assistive technology does."""
    for _, node in walk(application(name)):
        if node.get_name() == button and "Action" in node.get_interfaces():
            return bool(Atspi.Action.do_action(node, 0))
    return False


def picture(file: str) -> bool:
    """Write the screen to a file."""
    root = Gdk.get_default_root_window()
    width, height = root.get_width(), root.get_height()
    return bool(Gdk.pixbuf_get_from_window(root, 0, 0, width, height).savev(file, "png", [], []))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    print(json.dumps({"tree": tree, "press": press, "picture": picture}[what](*arguments)))
