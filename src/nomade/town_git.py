"""The town's own git repository: what was changed there, when and by whom."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nomade.i18n import tr
from nomade.register import COLUMNS, FILE, OPTIONAL_COLUMNS, ChangeError
from nomade.table import parse_table, visible

Cells = dict[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit, or what isn't committed yet, and the lines of the register that it changed."""

    when: str
    who: str
    subject: str
    changes: dict[str, list[tuple[str, str, str]]]  # by asset tag: column, old, new


def _git(town: Path, *words: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    # a hook's own repository is not the town's
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    env = {k: v for k, v in env.items() if k not in ("GIT_WORK_TREE", "GIT_INDEX_FILE")}
    command = ["git", "-C", str(town), *map(str, words)]
    try:
        return subprocess.run(command, input=data, env=env, capture_output=True, check=False)
    except FileNotFoundError:
        raise ChangeError(
            tr(
                "git is missing on this computer; install it: sudo apt-get install git",
                "git manque sur cet ordinateur ; l'installer : sudo apt-get install git",
            )
        ) from None


# Committing --------------------------------------------------------------------------------------


def refuse_if_uncommittable(town: Path) -> None:
    """Raise ChangeError, before anything is written, where a commit could not be made."""
    top = _git(town, "rev-parse", "--show-toplevel")
    if top.returncode or Path(os.fsdecode(top.stdout.rstrip(b"\n"))) != town.resolve():
        raise ChangeError(
            tr(
                f"{town} is no git repository of its own; nothing was written: begin one with git "
                f"init {town}, or leave out --commit",
                f"{town} n'est pas un dépôt git à part ; rien n'a été écrit : en créer un avec "
                f"git init {town}, ou omettre --commit",
            )
        )
    if _git(town, "var", "GIT_COMMITTER_IDENT").returncode:
        raise ChangeError(
            tr(
                "git doesn't know who you are; nothing was written: type git config --global "
                "user.name 'NAME' and git config --global user.email ADDRESS",
                "git ne sait pas qui vous êtes ; rien n'a été écrit : taper git config --global "
                "user.name 'NOM' et git config --global user.email ADRESSE",
            )
        )


def uncommitted(town: Path, names: Sequence[str]) -> set[str]:
    """Return which of the files hold changes that are not committed."""
    status = _git(town, "status", "--porcelain", "-z", "--", *names).stdout.decode()
    return {line[3:] for line in status.split("\0") if line}


def commit(town: Path, names: Sequence[str], message: str) -> str:
    """Commit these files and no other; return the commit's short name."""
    for words in (["add"], ["commit", "-q", "-m", message]):
        done = _git(town, *words, "--", *names)
        if done.returncode:
            said = visible(" ".join((done.stderr or done.stdout).decode(errors="replace").split()))
            raise ChangeError(
                tr(
                    f"the change is written, but git didn't commit it: {said}; when that is "
                    f"mended: git -C {town} commit -m '...' -- {' '.join(names)}",
                    f"la modification est écrite, mais git ne l'a pas validée : {said} ; une fois "
                    f"cela réglé : git -C {town} commit -m '...' -- {' '.join(names)}",
                )
            )
    return _git(town, "rev-parse", "--short", "HEAD").stdout.decode().strip()


# Looking back ------------------------------------------------------------------------------------


def history(town: Path, asset_tag: str = "") -> Iterator[Entry]:
    """Yield what changed in the register (of one machine, if named), the youngest first."""
    # each commit against its parent: what two technicians did side by side stays theirs
    words = ("--full-history", "--no-merges", "--date=format:%Y-%m-%d %H:%M")
    form = "--format=%H%x1f%P%x1f%ad%x1f%an%x1f%s"
    log = _git(town, "log", *words, form, "--", FILE)
    if log.returncode:
        raise ChangeError(
            tr(
                f"{town} has no history: it is in no git repository, or nothing was committed yet; "
                f"begin one with git init {town}, then git -C {town} add -A and git commit",
                f"{town} n'a pas d'historique : aucun dépôt git, ou rien n'y est encore validé ; "
                f"en créer un avec git init {town}, puis git -C {town} add -A et git commit",
            )
        )
    commits = [line.split("\x1f") for line in log.stdout.decode(errors="replace").splitlines()]
    versions = _versions(town, ["HEAD", *(name for commit in commits for name in commit[:2])])
    waiting = Entry("", "", tr("not committed yet", "pas encore validé"), {})
    yield from _entry(waiting, versions["HEAD"], (town / FILE).read_bytes(), asset_tag)
    for name, parent, when, who, subject in commits:
        entry = Entry(when, visible(who), visible(subject), {})
        yield from _entry(entry, versions[parent], versions[name], asset_tag)


def _versions(town: Path, commits: Sequence[str]) -> dict[str, bytes]:
    """Return the register as it was in each commit, or nothing, with one call of git."""
    prefix = _git(town, "rev-parse", "--show-prefix").stdout.rstrip(b"\n")
    asked = [name for name in dict.fromkeys(commits) if name]
    lines = b"".join(name.encode() + b":" + prefix + FILE.encode() + b"\n" for name in asked)
    output = io.BytesIO(_git(town, "cat-file", "--batch", data=lines).stdout)
    found = {"": b""}  # the first commit has no parent
    for name in asked:
        found[name] = b""
        head = output.readline().split()
        if head[-1] != b"missing":
            found[name] = output.read(int(head[2]))
            output.readline()
    return found


def _entry(entry: Entry, before: bytes, after: bytes, asset_tag: str) -> Iterator[Entry]:
    """Yield the entry with the lines that changed, if any did (that machine's, if named)."""
    if before == after:
        return
    changes = {}
    olds, news = _machines(before), _machines(after)
    for tag in [asset_tag] if asset_tag else dict.fromkeys([*olds, *news]):
        old, new = olds.get(tag, {}), news.get(tag, {})
        changed = [
            (column, old.get(column, ""), new.get(column, ""))
            for column in (*COLUMNS, *OPTIONAL_COLUMNS)
            if old.get(column, "") != new.get(column, "")
        ]
        if changed:
            changes[tag] = changed
    if changes:
        yield replace(entry, changes=changes)


def _machines(data: bytes) -> dict[str, Cells]:
    """Return the cells of a register by asset tag; an old one may be faulty."""
    table = parse_table(FILE, data, COLUMNS, OPTIONAL_COLUMNS)
    return {row.cells.get("asset_tag", ""): row.cells for row in table.rows}
