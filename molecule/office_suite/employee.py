"""What a person does with LibreOffice, in their own profile: employee.py '[["question", ...]]'.

Runs on the machine as that person, starts the real LibreOffice without a window and prints JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import uno
from com.sun.star.beans import PropertyValue
from com.sun.star.lang import Locale

PIPE = f"employee-{os.getpid()}"
BUTTON = "vnd.sun.star.script:Standard.Opened.Main?language=Basic&location=document"
CLICK_YES = 6  # com.sun.star.document.MacroExecMode.USE_CONFIG_APPROVE_CONFIRMATION


def argument(name: str, value: Any) -> Any:
    """Return a named argument."""
    return PropertyValue(name, 0, value, 0)


class Session:
    """A running LibreOffice."""

    def __init__(self) -> None:
        """Start it and wait until it answers."""
        accept = f"--accept=pipe,name={PIPE};urp;"
        self.process = subprocess.Popen(
            ["soffice", "--headless", "--norestore", accept],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        context = uno.getComponentContext()
        create = context.ServiceManager.createInstanceWithContext
        resolver = create("com.sun.star.bridge.UnoUrlResolver", context)
        for _ in range(200):
            try:
                url = f"uno:pipe,name={PIPE};urp;StarOffice.ComponentContext"
                self.context = resolver.resolve(url)
                break
            except Exception:  # the bridge's exceptions have no class of their own
                time.sleep(0.2)
        self.desktop = self.service("com.sun.star.frame.Desktop")

    def service(self, name: str) -> Any:
        """Return one of LibreOffice's services."""
        return self.context.ServiceManager.createInstanceWithContext(name, self.context)

    def group(self, path: str, access: str = "") -> Any:
        """Return a group of settings."""
        provider = self.service("com.sun.star.configuration.ConfigurationProvider")
        name = f"com.sun.star.configuration.Configuration{access}Access"
        return provider.createInstanceWithArguments(name, (argument("nodepath", path),))

    def settings(self, wanted: list[list[str]]) -> list[Any]:
        """Read settings."""
        return [self.group(path).getByName(name) for path, name in wanted]

    def change(self, wanted: list[list[Any]]) -> list[bool]:
        """Try to change settings for good, as the person; say which of them could be."""
        done = []
        for path, name, value in wanted:
            group = self.group(path, "Update")
            try:
                group.setPropertyValue(name, value)
                group.commitChanges()
                done.append(True)
            except Exception:  # a read-only property: PropertyVetoException or so
                done.append(False)
        return done

    def trust(self, subject: str) -> bool:
        """Try to trust an author of macros for good."""
        authors = self.group(
            "/org.openoffice.Office.Common/Security/Scripting/TrustedAuthors", "Update"
        )
        try:
            author = authors.createInstance()
            author.setPropertyValue("SubjectName", subject)
            authors.insertByName("author", author)
            authors.commitChanges()
        except Exception:  # as above
            return False
        return True

    def open(self, files: list[str]) -> list[bool]:
        """Open documents, click on Yes whenever asked, and on their button; say if it may run."""
        allowed = []
        for file in files:
            how = (argument("MacroExecutionMode", CLICK_YES), argument("Hidden", True))
            document = self.desktop.loadComponentFromURL(f"file://{file}", "_blank", 0, how)
            click = self.service("com.sun.star.frame.DispatchHelper")
            frame = document.CurrentController.Frame
            click.executeDispatch(frame, BUTTON, "", 0, ())
            allowed.append(document.AllowMacroExecution)
            document.close(True)
        return allowed

    def save(self, files: list[list[str]]) -> list[str]:
        """Make new documents and save them without choosing a format."""
        for kind, file in files:
            hidden = (argument("Hidden", True),)
            document = self.desktop.loadComponentFromURL(
                f"private:factory/{kind}", "_blank", 0, hidden
            )
            document.storeToURL(f"file://{file}", ())
            document.close(True)
        return [file for _, file in files]

    def words(self, locale: list[Any]) -> dict[str, Any]:
        """Use menus' language, spelling, hyphenation and thesaurus."""
        hidden = (argument("Hidden", True),)
        document = self.desktop.loadComponentFromURL("private:factory/swriter", "_blank", 0, hidden)
        style = document.StyleFamilies.getByName("ParagraphStyles").getByName("Heading 1")
        shown, chars = style.DisplayName, document.createInstance("com.sun.star.text.Defaults")
        typed = chars.CharLocale
        document.close(True)
        tools = self.service("com.sun.star.linguistic2.LinguServiceManager")
        language, number = Locale(locale[0], locale[1], ""), locale[2]
        spell, hyphen, thesaurus = (
            tools.getSpellChecker(),
            tools.getHyphenator(),
            tools.getThesaurus(),
        )
        parts = hyphen.createPossibleHyphens("administration", language, ())
        return {
            "style": shown,
            "typed": [typed.Language, typed.Country],
            "right": spell.isValid("développement", number, ()),
            "wrong": spell.isValid("dévelopement", number, ()),
            "hyphens": parts.getPossibleHyphens() if parts else "",
            "meanings": len(thesaurus.queryMeanings("maison", language, ())),
        }

    def paths(self, names: list[str]) -> list[str]:
        """Return folders that the dialogs use."""
        paths = self.service("com.sun.star.util.PathSettings")
        return [getattr(paths, name) for name in names]

    def templates(self, _: None) -> list[str]:
        """Return what the template dialog offers."""
        templates = self.service("com.sun.star.frame.DocumentTemplates")
        templates.update()
        top = templates.getContent().getIdentifier().getContentIdentifier()
        files = self.service("com.sun.star.ucb.SimpleFileAccess")
        found = []
        for folder in files.getFolderContents(top, True):
            found += files.getFolderContents(folder, False)
        return found

    def end(self) -> None:
        """Quit as from the menu, so that the profile is written."""
        try:
            self.desktop.terminate()
            self.process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


def main() -> None:
    """Do what is asked for, in that order."""
    questions: list[list[Any]] = json.loads(sys.argv[1])
    session = Session()
    try:
        answers = [getattr(session, name)(value) for name, value in questions]
    finally:
        session.end()
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
