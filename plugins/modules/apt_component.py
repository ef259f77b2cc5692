#!/usr/bin/python3
"""Make a component of Debian's archive known to apt, beside the machine's own sources."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List, Optional

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: apt_component
short_description: Make a component of Debian's archive known to apt
description:
  - Where one of the machine's enabled sources already offers the component, nothing is done.
  - Otherwise a source of its own is written beside them, with the addresses, suites and keys that
    the machine uses for C(main). No file of the machine's owner is changed.
  - On a machine that is not a Debian nothing is done.
options:
  component:
    description: Name of the component (sources.list(5)).
    type: str
    required: true
  name:
    description: Name of the file under C(/etc/apt/sources.list.d), without its ending.
    type: str
    required: true
  state:
    description: Whether the component is offered, or our own source is gone.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Make the component with firmware known to apt
  apt_component:
    component: non-free-firmware
    name: nomade-firmware
"""

RETURN = r"""
codename:
  description: Code name of the release (os-release(5)).
  type: str
  returned: success
  sample: trixie
available:
  description: Whether the component is offered, or will be outside of check mode.
  type: bool
  returned: success
"""

Source = Dict[str, str]  # fields of a deb822 stanza, names in lower case

# sources.list(5): options in brackets and the fields that mean the same
FIELDS = {"arch": "architectures", "lang": "languages", "target": "targets"}


def one_line(text: str) -> Iterator[Source]:
    """Read lines as in sources.list(5): deb [option=value] uri suite component..."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 3:
            continue
        source: Source = {"types": words.pop(0)}
        if words[0].startswith("["):
            end = next((n for n, word in enumerate(words) if word.endswith("]")), None)
            if end is None:
                continue
            for option in " ".join(words[: end + 1]).strip("[]").split():
                name, _, value = option.partition("=")
                source[FIELDS.get(name, name)] = value.replace(",", " ")
            words = words[end + 1 :]
        if len(words) >= 2:
            source.update(uris=words[0], suites=words[1], components=" ".join(words[2:]))
            yield source


def deb822(text: str) -> Iterator[Source]:
    """Read stanzas as in sources.list(5), DEB822-STYLE FORMAT; values keep their lines."""
    source: Source = {}
    last = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if source.get("enabled", "yes").lower() not in ("no", "false", "0", "off"):
                yield source
            source, last = {}, ""
        elif line[0] in " \t" and last:
            source[last] += "\n" + line
        else:
            name, _, value = line.partition(":")
            last = name.strip().lower()
            source[last] = value.strip()


def sources(apt: Path) -> List[Source]:
    """Return all enabled sources of binary packages."""
    found: List[Source] = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        read = {".list": one_line, ".sources": deb822}.get(path.suffix)
        if read and path.is_file():
            found += read(path.read_text(encoding="utf-8", errors="replace"))
    return [source for source in found if "deb" in source.get("types", "").split()]


def has(source: Source, component: str) -> bool:
    """Say whether a source offers a component."""
    return component in source.get("components", "").split()


def stanzas(found: List[Source], component: str, codename: str) -> str:
    """Return the content of our own source: the machine's sources of main, another component."""
    pockets = {codename, f"{codename}-updates", f"{codename}-security", "stable", "oldstable"}
    pockets |= {"stable-updates", "stable-security", "oldstable-updates", "oldstable-security"}
    written: List[str] = []
    for source in found:
        suites = [suite for suite in source["suites"].split() if suite.rstrip("/") in pockets]
        if not suites or not has(source, "main") or source["uris"].startswith("cdrom:"):
            continue
        fields = {**source, "types": "deb", "suites": " ".join(suites), "components": component}
        fields.pop("enabled", None)
        text = "".join(f"{name.title()}: {value}\n" for name, value in fields.items())
        text = text.replace(": \n", ":\n")  # a key that begins on the next line
        if text not in written:
            written.append(text)
    return "\n".join(written).replace("Uris:", "URIs:")


def os_release(path: Path) -> Dict[str, str]:
    """Read os-release(5)."""
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: value.strip("\"'") for name, _, value in pairs if value}


def write(path: Path, text: str) -> None:
    """Replace a file atomically, readable for everybody."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    staged = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(handle, 0o644)
        staged.replace(path)
    except BaseException:
        staged.unlink()
        raise


def wanted(apt: Path, component: str, own: Path, codename: str) -> Optional[str]:
    """Return what our own source should say; nothing where the others suffice."""
    before = own.read_text(encoding="utf-8") if own.is_file() else ""
    ours = list(deb822(before))
    others = [source for source in sources(apt) if source not in ours]
    if any(has(source, component) for source in others):
        return None
    return stanzas(others, component, codename) or None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "component": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    apt = Path("/etc/apt")
    own = apt / "sources.list.d" / f"{module.params['name']}.sources"
    component = module.params["component"]
    system = os_release(Path("/etc/os-release"))
    codename = system.get("VERSION_CODENAME", "")
    before = own.read_text(encoding="utf-8") if own.is_file() else ""
    after = ""
    if module.params["state"] == "present" and system.get("ID") == "debian":
        after = wanted(apt, component, own, codename) or ""
    if before != after and not module.check_mode:
        if after:
            write(own, after)
        else:
            own.unlink()
    module.exit_json(
        changed=before != after,
        codename=codename,
        available=bool(after) or any(has(source, component) for source in sources(apt)),
        diff={
            "before": before,
            "after": after,
            "before_header": str(own),
            "after_header": str(own),
        },
    )


if __name__ == "__main__":
    main()
