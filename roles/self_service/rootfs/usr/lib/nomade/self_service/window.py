"""The window "Mon poste": GTK 3, which the panel's light needs too."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gi

gi.require_version("Atk", "1.0")
gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
# E402 below: the versions stand first.
import lights  # noqa: E402 (see above)
import media  # noqa: E402 (see above)
from gi.repository import Atk, Gdk, GdkPixbuf, Gio, GLib, Gtk, Pango  # noqa: E402 (see above)

APPLICATION = "org.nomade.MonPoste"
CHECKER = ["/usr/bin/nomade-check", "--json"]
ICONS = Path("/usr/share/nomade/self_service/icons")
STYLE = Path("/usr/share/nomade/self_service/style.css")
ICON_NAMES = ("mon-poste", *(f"light-{state}" for state in lights.ORDER))


def styled(widget: Any, *classes: str) -> Any:
    """Return a widget with classes of style.css."""
    for name in classes:
        widget.get_style_context().add_class(name)
    return widget


def label(text: str, *classes: str) -> Any:
    """Return a text that wraps."""
    made = Gtk.Label(label=text, xalign=0.0, yalign=0.0)
    made.set_line_wrap(True)
    made.set_line_wrap_mode(Pango.WrapMode.WORD_CHAR)
    return styled(made, *classes)


def box(*children: Any, vertical: bool = False, spacing: int = 12) -> Any:
    """Return children in a row or in a column."""
    orientation = Gtk.Orientation.VERTICAL if vertical else Gtk.Orientation.HORIZONTAL
    made = Gtk.Box(orientation=orientation, spacing=spacing)
    for child in children:
        made.pack_start(child, False, False, 0)
    return made


def icon(name: str, size: int, spoken: str = "") -> Any:
    """Return a drawing; what it shows also stands in words beside it."""
    image = Gtk.Image()
    set_icon(image, name, size)
    image.set_valign(Gtk.Align.START)
    image.get_accessible().set_name(spoken)
    return image


def set_icon(image: Any, name: str, size: int) -> None:
    """Show another drawing, as sharp as the screen is."""
    scale = image.get_scale_factor()
    pixels = GdkPixbuf.Pixbuf.new_from_file_at_size(
        str(ICONS / f"{name}.svg"), size * scale, size * scale
    )
    image.set_from_surface(Gdk.cairo_surface_create_from_pixbuf(pixels, scale, None))


def button(text: str, pressed: Callable[[Any], None], *classes: str) -> Any:
    """Return a button; the letter behind the underscore presses it with Alt."""
    made = Gtk.Button.new_with_mnemonic(text)
    made.connect("clicked", pressed)
    return styled(made, *classes)


def describe(widget: Any, name: str, description: str = "") -> None:
    """Say what a screen reader reads."""
    accessible = widget.get_accessible()
    accessible.set_name(name)
    accessible.set_description(description)


class Row(Gtk.ListBoxRow):
    """One light."""

    def __init__(self, light: lights.Light, texts: lights.Texts) -> None:
        """Draw it: large where there is something to do, small where all is well."""
        super().__init__()
        well = light.state == "ok"
        title = box(
            label(light.title, "light-title"),
            label(light.word, "light-word", f"state-{light.state}"),
            spacing=14,
        )
        text = box(title, vertical=True, spacing=4)
        text.set_valign(Gtk.Align.CENTER)
        if light.message:
            text.pack_start(label(light.message, "light-message"), False, False, 0)
        if light.advice:
            advice = box(
                label(texts("advice_label"), "advice-label"),
                label(light.advice, "advice-text"),
                vertical=True,
                spacing=2,
            )
            text.pack_start(styled(advice, "advice"), False, False, 6)
        if light.technician:
            folded = Gtk.Expander(label=texts("technician_label"))
            folded.add(label(light.technician, "technician-text"))
            text.pack_start(styled(folded, "technician"), False, False, 0)
        content = box(icon(f"light-{light.state}", 28 if well else 44), spacing=16)
        content.pack_start(text, True, True, 0)
        self.add(content)
        styled(self, "light", "light-small" if well else "light-large")
        advice = f"{texts('advice_label')} : {light.advice}" if light.advice else ""
        describe(self, light.spoken(), f"{light.message} {advice}".strip())


class LightsPage(Gtk.Box):
    """What holds, what does not, and whom to call."""

    def __init__(self, texts: lights.Texts, settings: lights.Settings) -> None:
        """Draw an empty list beside the hotline."""
        super().__init__(spacing=0)
        self.texts = texts
        self.shown: list[lights.Light] = []
        self.list = styled(Gtk.ListBox(selection_mode=Gtk.SelectionMode.NONE), "lights")
        describe(self.list, texts("lights"))
        scrolled = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.NEVER)
        scrolled.add(self.list)
        self.pack_start(scrolled, True, True, 0)
        self.pack_start(self._help(settings), False, False, 0)

    def _help(self, settings: lights.Settings) -> Any:
        texts = self.texts
        side = box(vertical=True, spacing=6)
        if settings.hotline:
            number = label(settings.hotline, "hotline")
            number.set_selectable(True)  # so that the keyboard reaches it and a reader reads it
            describe(number, f"{texts('help_label')} {settings.hotline}")
            parts = [label(texts("help_label"), "help-label"), number]
            if settings.hotline_hours:
                parts.append(label(settings.hotline_hours, "help-hours"))
        else:
            parts = [label(texts("help_none"), "help-label")]
        name = label(socket.gethostname(), "machine")
        name.set_selectable(True)
        describe(name, f"{texts('help_name')} {socket.gethostname()}")
        parts += [label(texts("help_name"), "help-name"), name]
        if settings.town:
            parts.append(label(settings.town, "help-hours"))
        for part in parts:
            part.set_max_width_chars(18)
            side.pack_start(part, False, False, 0)
        return styled(side, "help")

    def show_lights(self, found: list[lights.Light]) -> None:
        """Draw the list again where it changed, and leave the keyboard where it was."""
        if found == self.shown:
            return
        self.shown = found
        for row in self.list.get_children():
            self.list.remove(row)
        for light in found:
            self.list.add(Row(light, self.texts))
        self.list.show_all()


class DevicesPage(Gtk.Box):
    """Three tests, one under the other."""

    def __init__(self, texts: lights.Texts) -> None:
        """Draw a button, a sentence and what a test shows, three times."""
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=0)
        self.texts = texts
        self.meter = Gtk.LevelBar()
        describe(self.meter, texts("level"))
        self.picture = box()
        self.picture.set_halign(Gtk.Align.START)
        self.sentences: dict[str, Any] = {}
        self.microphone = media.Microphone(self._teller("microphone"), self.meter.set_value)
        self.speaker = media.Speaker(self._teller("speaker"))
        self.camera = media.Camera(self._teller("camera"), self._show_picture)
        inside = box(vertical=True, spacing=0)
        heading = box(
            label(texts("devices_title"), "page-title"),
            label(texts("devices_sentence"), "page-sentence"),
            vertical=True,
            spacing=2,
        )
        inside.pack_start(styled(heading, "page-head"), False, False, 0)
        self.first = self._part(inside, "microphone", self._record, self.meter)
        self._part(inside, "speaker", lambda _: self._alone(self.speaker.start))
        self.camera_button = self._part(inside, "camera", self._toggle_camera, self.picture)
        scrolled = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.NEVER)
        scrolled.add(inside)
        self.pack_start(scrolled, True, True, 0)

    def _part(self, place: Any, name: str, pressed: Callable[[Any], None], *more: Any) -> Any:
        press = button(self.texts(f"{name}_start"), pressed, "test-button")
        press.set_valign(Gtk.Align.START)
        press.set_size_request(340, -1)
        said = label(self.texts(f"{name}_idle"), "test-sentence")
        said.get_accessible().set_role(Atk.Role.STATUSBAR)  # read aloud when it changes
        self.sentences[name] = said
        text = box(
            label(self.texts(f"{name}_title"), "light-title"), said, vertical=True, spacing=6
        )
        for widget in more:
            text.pack_start(widget, False, False, 0)
        row = box(press, spacing=20)
        row.pack_start(text, True, True, 0)
        place.pack_start(styled(row, "test"), False, False, 0)
        return press

    def _teller(self, name: str) -> Callable[[str], None]:
        return lambda key: self.sentences[name].set_text(self.texts(key))

    def _alone(self, start: Callable[[], None]) -> None:
        """Start a test of sound when no other one is heard."""
        self.microphone.stop()
        self.speaker.stop()
        start()

    def _record(self, _button: Any) -> None:
        self._alone(self.microphone.start)

    def _toggle_camera(self, _button: Any) -> None:
        if self.camera.pipeline is not None:
            self.camera.stop()
            self.sentences["camera"].set_text(self.texts("camera_idle"))
        else:
            self.camera.start()

    def _show_picture(self, widget: Any) -> None:
        for child in self.picture.get_children():
            self.picture.remove(child)
        if widget is not None:
            describe(widget, self.texts("camera_title"))
            self.picture.add(widget)
            self.picture.show_all()
        key = "camera_start" if widget is None else "camera_stop"
        if hasattr(self, "camera_button"):
            self.camera_button.set_label(self.texts(key))

    def leave(self) -> None:
        """Let go of every device, and begin anew next time."""
        for test in (self.microphone, self.speaker, self.camera):
            test.stop()
        for name, said in self.sentences.items():
            said.set_text(self.texts(f"{name}_idle"))


class Window(Gtk.ApplicationWindow):
    """The window: a headline, the lights or the tests, and three buttons."""

    def __init__(self, application: Any, texts: lights.Texts, settings: lights.Settings) -> None:
        """Draw it and begin to check."""
        super().__init__(application=application, title=texts("window"))
        self.texts = texts
        self.settings = settings
        self.checking: Any = None
        self.report = ""
        self.light = False  # what is under way leaves the heavy checks out
        self.asked = False  # for all of them, meanwhile
        self.set_default_size(1020, 640)
        self.set_icon_from_file(str(ICONS / "mon-poste.svg"))
        self.page = LightsPage(texts, settings)
        self.devices = DevicesPage(texts)
        self.stack = Gtk.Stack()
        self.stack.add_named(self.page, "lights")
        self.stack.add_named(self.devices, "devices")
        content = box(self._banner(), vertical=True, spacing=0)
        content.pack_start(self.stack, True, True, 0)
        content.pack_start(self._buttons(), False, False, 0)
        self.add(styled(content, "mon-poste"))
        self.connect("key-press-event", self._key)
        self.connect("destroy", lambda _: self.devices.leave())
        self.show_all()
        self._show_page("lights")
        self.check()
        if settings.refresh:
            GLib.timeout_add_seconds(settings.refresh, self._again)

    def _banner(self) -> Any:
        self.banner_icon = icon("light-unknown", 72)
        self.headline = label(self.texts("checking"), "headline")
        self.headline.get_accessible().set_role(Atk.Role.HEADING)
        self.subline = label("", "subline")
        self.when = label("", "when")
        self.when.get_accessible().set_role(Atk.Role.STATUSBAR)  # read aloud when it changes
        text = box(self.headline, self.subline, vertical=True, spacing=2)
        text.set_valign(Gtk.Align.CENTER)
        self.banner = styled(box(self.banner_icon, spacing=20), "banner", "banner-unknown")
        self.banner.pack_start(text, True, True, 0)
        self.spinner = Gtk.Spinner(valign=Gtk.Align.CENTER)
        self.when.set_valign(Gtk.Align.CENTER)
        self.banner.pack_end(self.when, False, False, 0)
        self.banner.pack_end(self.spinner, False, False, 0)
        return self.banner

    def _buttons(self) -> Any:
        texts = self.texts
        self.again = button(texts("again"), lambda _: self.check(), "suggested-action", "action")
        self.to_devices = button(texts("devices"), lambda _: self._show_page("devices"), "action")
        self.back = button(texts("back"), lambda _: self._show_page("lights"), "action")
        self.leave = button(texts("close"), lambda _: self.close(), "action")
        bar = box(self.again, self.to_devices, self.back)
        bar.pack_end(self.leave, False, False, 0)
        return styled(bar, "buttons")

    def _show_page(self, name: str) -> None:
        on_lights = name == "lights"
        self.stack.set_visible_child_name(name)
        self.again.set_visible(on_lights)
        self.to_devices.set_visible(on_lights)
        self.back.set_visible(not on_lights)
        self.banner.set_visible(on_lights)
        self.devices.leave()
        (self.again if on_lights else self.devices.first).grab_focus()

    def _key(self, _window: Any, event: Any) -> bool:
        if event.keyval == Gdk.KEY_Escape:
            if self.stack.get_visible_child_name() == "lights":
                self.close()
            else:
                self._show_page("lights")
            return True
        if event.keyval == Gdk.KEY_F5:
            self.check()
            return True
        return False

    # --- checking ------------------------------------------------------------------------------

    def _again(self) -> bool:
        if self.stack.get_visible_child_name() == "lights" and self.checking is None:
            self.check(light=lights.heavy_can_wait(self.report))
        return bool(GLib.SOURCE_CONTINUE)

    def check(self, *, light: bool = False) -> None:
        """Run nomade-check beside the window, which stays alive meanwhile."""
        if self.checking is not None:
            self.asked = True
            return
        self.light, self.asked = light, False
        self.when.set_text(self.texts("checking"))
        self.spinner.start()
        command = [*CHECKER, "--light"] if light else CHECKER
        flags = Gio.SubprocessFlags.STDOUT_PIPE | Gio.SubprocessFlags.STDERR_SILENCE
        try:
            self.checking = Gio.Subprocess.new(command, flags)
        except GLib.Error:
            self._show_report("")
            return
        self.checking.communicate_utf8_async(None, None, self._checked)

    def _checked(self, process: Any, result: Any) -> None:
        try:
            _, text, _ = process.communicate_utf8_finish(result)
        except GLib.Error:
            text = ""
        self.checking = None
        self.report = lights.completed(text or "", self.report) if self.light else text or ""
        self._show_report(self.report)
        if self.light and self.asked:
            self.check()

    def _show_report(self, text: str) -> None:
        found = lights.read_report(text, self.texts)
        head = lights.headline_of(found, self.texts)
        set_icon(self.banner_icon, f"light-{head.state}", 72)
        context = self.banner.get_style_context()
        for state in lights.ORDER:
            context.remove_class(f"banner-{state}")
        context.add_class(f"banner-{head.state}")
        self.headline.set_text(head.title)
        self.subline.set_text(head.sentence)
        self.page.show_lights(found)
        self.spinner.stop()
        self.when.set_text(self.texts("checked", time=time.strftime("%H:%M")))


def load_style() -> None:
    """Use our colours and sizes, and only the sizes where a person has chosen high contrast."""
    settings = Gtk.Settings.get_default()
    theme = str(settings.get_property("gtk-theme-name"))
    style = STYLE.read_text(encoding="utf-8")
    if theme.startswith("HighContrast"):
        style = style.partition("/* colours */")[0]
    provider = Gtk.CssProvider()
    provider.load_from_data(style.encode())
    Gtk.StyleContext.add_provider_for_screen(
        Gdk.Screen.get_default(), provider, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION
    )


def run(texts: lights.Texts, settings: lights.Settings) -> int:
    """Open the window, or bring the one that is open to the front."""
    application = Gtk.Application(application_id=APPLICATION)

    def activate(application: Any) -> None:
        windows = application.get_windows()
        if not windows:
            load_style()
        window = windows[0] if windows else Window(application, texts, settings)
        window.present()

    application.connect("activate", activate)
    return int(application.run(None))
