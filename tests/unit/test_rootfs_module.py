"""rootfs on the machine: files, rights, checkers, manifest, removal, diff."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., dict[str, Any]]


def paths(result: dict[str, Any], key: str = "installed") -> set[str]:
    return set(result[key])


def test_check_mode_tells_what_the_run_then_does(machine: Any, node: Make) -> None:
    machine.wants(
        node("etc/demo/main.conf", "one\n", mode=0o640),
        node("etc/demo/sub", kind="directory", mode=0o700),
        node("etc/demo/default", "main.conf", kind="link"),
    )
    told = machine.run(check=True)
    assert list(machine.root.iterdir()) == []
    done = machine.run()
    assert told == done
    assert done["changed"]
    assert paths(done) == {
        f"/etc{p}" for p in ("", "/demo", "/demo/main.conf", "/demo/sub", "/demo/default")
    }
    assert machine.tree() == {
        "etc": ("40755", ""),
        "etc/demo": ("40755", ""),
        "etc/demo/main.conf": ("100640", "one\n"),
        "etc/demo/sub": ("40700", ""),
        "etc/demo/default": ("120777", "main.conf"),
    }
    for check in (False, True):
        assert not machine.run(check=check)["changed"]


def test_what_is_remembered_is_for_root_only(machine: Any, node: Make) -> None:
    machine.write("etc/a", "before\n")
    machine.wants(node("etc/a", "one\n", secret=True)).run()
    state = machine.root / "var/lib/nomade/rootfs"
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "demo").stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in state.rglob("*") if p.is_file()} == {0o600}


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o2755, 0o4755])
def test_modes(machine: Any, node: Make, mode: int) -> None:
    machine.wants(node("usr/bin/tool", "#!/bin/sh\n", mode=mode)).run()
    assert (machine.root / "usr/bin/tool").stat().st_mode & 0o7777 == mode


def test_owner_of_an_image_that_has_no_such_user(machine: Any, node: Make) -> None:
    machine.write("etc/passwd", "root:x:0:0::/:/bin/sh\n")
    machine.write("etc/group", "root:x:0:\n")
    machine.wants(node("etc/a", "one\n", owner="printer"))
    assert machine.fails() == "demo: /etc/a: there is no user printer on this machine."


def test_owner_by_number(machine: Any, node: Make) -> None:
    ids = {"owner": str(os.geteuid()), "group": str(os.getegid())}
    machine.wants(node("etc/a", "one\n", **ids)).run()
    assert (machine.root / "etc/a").stat().st_uid == os.geteuid()
    assert not machine.run()["changed"]


def test_owner_of_an_image_is_looked_up_in_the_image(machine: Any, node: Make) -> None:
    machine.write("etc/passwd", f"printer:x:{os.geteuid()}:0::/:/bin/sh\n")
    machine.write("etc/group", f"paper:x:{os.getegid()}:\n")
    machine.wants(node("etc/a", "one\n", owner="printer", group="paper")).run()
    assert (machine.root / "etc/a").stat().st_uid == os.geteuid()
    assert not machine.run()["changed"]


@pytest.mark.parametrize(("key", "kind"), [("owner", "user"), ("group", "group")])
def test_owner_who_does_not_exist(machine: Any, node: Make, key: str, kind: str) -> None:
    machine.wants(node("etc/a", "one\n"), node("etc/b", "two\n", **{key: "nobody-here"}))
    assert machine.fails() == f"demo: /etc/b: there is no {kind} nobody-here on this machine."
    # an earlier task of the run that is only imagined may make the account
    assert machine.run(check=True)["changed"]


def test_owner_is_put_right(machine: Any, node: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.wants(node("etc/a", "one\n")).run()
    given = []
    monkeypatch.setattr(os, "fchown", lambda _handle, *ids: given.append(ids))
    number = max(user.pw_uid for user in pwd.getpwall() if user.pw_uid != os.geteuid())
    machine.wants(node("etc/a", "one\n", owner=str(number)))
    result = machine.run()
    assert given == [(number, os.getegid())]
    name = pwd.getpwuid(number).pw_name
    assert result["diff"][0]["after"].startswith(f"{name}:")


def test_diff_of_a_file(machine: Any, node: Make) -> None:
    machine.wants(node("etc/a", "one\n")).run()
    rights = machine.run(check=True) and machine.manifest()["nodes"]["etc/a"]
    owner = f"{rights['owner']}:{rights['group']}"
    machine.wants(node("etc/a", "two\n", mode=0o600))
    assert machine.run(check=True)["diff"] == [
        {
            "before": "one\n",
            "after": "two\n",
            "before_header": f"/etc/a ({owner} 0644)",
            "after_header": f"/etc/a ({owner} 0600)",
        }
    ]


def test_diff_of_a_mode(machine: Any, node: Make) -> None:
    machine.wants(node("etc/a", "one\n")).run()
    diff = machine.wants(node("etc/a", "one\n", mode=0o600)).run()["diff"]
    assert len(diff) == 1
    assert diff[0]["before"].endswith(" 0644\n")
    assert diff[0]["after"].endswith(" 0600\n")


def test_diff_of_a_new_file_of_a_link_and_of_a_removed_one(machine: Any, node: Make) -> None:
    machine.wants(node("a", "one\n"), node("l", "a", kind="link"))
    first = machine.run()["diff"]
    assert [d["before_header"] for d in first] == ["/a (absent)", "/l (absent)"]
    assert [(d["before"], d["after"]) for d in first] == [("", "one\n"), ("", "-> a\n")]
    second = machine.wants(node("l", "b", kind="link")).run()["diff"]
    assert [(d["before"], d["after"]) for d in second] == [("-> a\n", "-> b\n"), ("one\n", "")]


def test_diff_says_binary(machine: Any, node: Make) -> None:
    machine.wants(node("a", b"\0\1\2")).run()
    diff = machine.wants(node("a", b"\0\1\3\xff")).run()["diff"][0]
    assert diff["before"].startswith("binary, 3 bytes, sha256 ")
    assert diff["after"].startswith("binary, 4 bytes, sha256 ")
    assert (machine.root / "a").read_bytes() == b"\0\1\3\xff"


def test_diff_of_a_very_long_file(machine: Any, node: Make) -> None:
    diff = machine.wants(node("a", "x" * 200_000)).run()["diff"][0]
    assert diff["after"].startswith("too long to show, 200000 bytes, sha256 ")


def test_secret_hides_the_diff_of_its_own_entry_only(machine: Any, node: Make) -> None:
    machine.wants(node("etc/key", "hush-1", secret=True), node("etc/a", "one\n"))
    for version in ("hush-1", "hush-2"):
        machine.wants(node("etc/key", version, secret=True), node("etc/a", f"for {version[-1]}\n"))
        result = machine.run()
        assert "hush" not in machine.output
        assert f"for {version[-1]}" in machine.output
        assert "/etc/key" in paths(result)
    diff = machine.run(check=True)["diff"]
    assert diff == []


def test_secret_stays_secret_when_it_leaves(machine: Any, node: Make) -> None:
    machine.wants(node("etc/key", "hush", secret=True), node("etc/other", "hush", secret=True))
    machine.run()
    # no longer marked, and no longer there
    result = machine.wants(node("etc/key", "public\n")).run()
    assert "hush" not in machine.output
    assert paths(result, "removed") == {"/etc/other"}


def test_payload_is_masked_in_the_invocation(machine: Any, node: Make) -> None:
    result = machine.wants(node("etc/key", "hush", secret=True)).run()
    assert result["invocation"]["module_args"]["payload"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert result["invocation"]["module_args"]["root"] == str(machine.root)


def test_file_changed_by_hand_is_put_back(machine: Any, node: Make) -> None:
    machine.wants(node("etc/a", "one\n")).run()
    machine.write("etc/a", "mine\n")
    for check in (True, False):
        result = machine.run(check=check)
        assert paths(result) == {"/etc/a"}
        assert result["diff"][0]["before"] == "mine\n"
        assert result["diff"][0]["after"] == "one\n"
        assert result["diff"][0]["before_header"].endswith(" (changed by hand)")
    assert machine.read("etc/a") == "one\n"


def test_new_version_is_not_called_changed_by_hand(machine: Any, node: Make) -> None:
    machine.wants(node("etc/a", "one\n")).run()
    diff = machine.wants(node("etc/a", "two\n")).run()["diff"]
    assert "by hand" not in diff[0]["before_header"]


def test_file_removed_by_hand_comes_back(machine: Any, node: Make) -> None:
    machine.wants(node("etc/a", "one\n")).run()
    (machine.root / "etc/a").unlink()
    assert paths(machine.run()) == {"/etc/a"}
    assert machine.read("etc/a") == "one\n"


# -- links and other things in the way --------------------------------------------------------


def test_link_at_the_target_is_replaced_and_not_followed(machine: Any, node: Make) -> None:
    machine.write("run/stub", "not ours\n")
    machine.write("etc/x")
    (machine.root / "etc/a").symlink_to("../run/stub")
    machine.wants(node("etc/a", "one\n")).run()
    assert machine.read("etc/a") == "one\n"
    assert machine.read("run/stub") == "not ours\n"
    machine.run("absent")
    assert (machine.root / "etc/a").readlink() == Path("../run/stub")


def test_links_above_the_target_are_followed_inside_the_root(machine: Any, node: Make) -> None:
    (machine.root / "usr/lib").mkdir(parents=True)
    (machine.root / "lib").symlink_to("usr/lib")
    machine.wants(node("lib/a", "one\n")).run()
    assert machine.read("usr/lib/a") == "one\n"
    assert not machine.run()["changed"]


def test_link_above_the_target_that_leads_outside(machine: Any, node: Make, tmp_path: Path) -> None:
    (machine.root / "etc").symlink_to(tmp_path)
    machine.wants(node("etc/a", "one\n"))
    message = machine.fails()
    assert message == f"demo: /etc/a would lie in {tmp_path}, outside of {machine.root}."
    assert not (tmp_path / "a").exists()


def test_link_above_the_target_made_by_a_user(
    machine: Any, node: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.root / "home/zoe").mkdir(parents=True)
    link = machine.root / "home/link"
    link.symlink_to("zoe")
    if os.geteuid() == 0:
        os.lchown(link, 1000, 1000)
    else:  # as if root had found our link
        monkeypatch.setattr(os, "geteuid", lambda: 0)
    machine.wants(node("home/link/a", "one\n"))
    assert machine.fails(check=True) == (
        f"demo: {link} is a link made by a user: nothing is written through it."
    )


@pytest.mark.parametrize(
    ("kind", "there"), [("file", "directory"), ("link", "directory"), ("directory", "file")]
)
def test_another_kind_of_thing_in_the_way(machine: Any, node: Make, kind: str, there: str) -> None:
    machine.write("etc/a/x" if there == "directory" else "etc/a")
    machine.wants(node("etc/0", "zero\n"), node("etc/a", "b", kind=kind))
    assert machine.fails() == (
        f"demo: /etc/a is a {there} on this machine, where the role has a {kind}: "
        "move it away and run again."
    )


def test_special_file_in_the_way(machine: Any, node: Make) -> None:
    os.mkfifo(machine.root / "a")
    machine.wants(node("a", "one\n"))
    assert "/a is a special file on this machine" in str(machine.run()["msg"])


def test_file_system_that_cannot_be_written(
    machine: Any, node: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "fsync", refuse)
    machine.wants(node("etc/a", "one\n"))
    message = machine.fails()
    assert message.startswith(f"demo: {machine.root}/var/lib/nomade/rootfs/demo/")
    assert message.endswith(": Read-only file system.")


# -- checkers ---------------------------------------------------------------------------------


def rule(*command: str, **more: Any) -> dict[str, Any]:
    return {"command": list(command), **more}


def test_checker_sees_the_whole_tree_before_anything_is_touched(machine: Any, node: Make) -> None:
    machine.write("etc/a", "old\n")
    look = "cat {staged}/etc/a {staged}/etc/l {staged}/etc/d/b; stat -c %a {staged}/etc/a"
    look += f"; cat {machine.root}/etc/a"
    machine.wants(
        node("etc/a", "one\n", mode=0o600),
        node("etc/d/b", "two\n"),
        node("etc/l", "d/b", kind="link"),
        validate=[rule("sh", "-c", f"{look}; exit 3")],
    )
    message = machine.fails()
    assert message.startswith("demo: sh -c cat /etc/a")
    assert "refuses the files, with exit code 3: one\ntwo\ntwo\n600\nold\n" in message
    assert message.endswith("Nothing was changed.")
    assert not (machine.root / "var/lib/nomade/rootfs/demo/staged").exists()


def test_checker_is_content(machine: Any, node: Make) -> None:
    machine.wants(node("a", "one\n"), validate=[rule("grep", "-q", "one", "{staged}/a")])
    assert machine.run()["changed"]
    assert machine.read("a") == "one\n"


@pytest.mark.parametrize(("pattern", "asked"), [("etc/a", True), ("etc/*", True), ("x/*", False)])
def test_checker_is_asked_when_its_files_change(
    machine: Any, node: Make, pattern: str, asked: bool
) -> None:
    machine.wants(node("etc/a"), validate=[rule("false", "{staged}", when_changed=[pattern])])
    assert machine.run().get("failed", False) is asked


def test_checker_is_not_asked_when_nothing_changes(machine: Any, node: Make) -> None:
    machine.wants(node("a", "one\n")).run()
    machine.wants(node("a", "one\n"), validate=[rule("false", "{staged}")])
    assert not machine.run()["changed"]


def test_checker_may_quote_a_secret(machine: Any, node: Make) -> None:
    machine.wants(
        node("key", "hush\n", secret=True),
        validate=[rule("grep", "-v", "nothing", "{staged}/key", "/none", when_changed=["key"])],
    )
    assert "it may quote a secret file" in machine.fails()
    assert "hush" not in machine.output


def test_checker_that_is_missing(machine: Any, node: Make) -> None:
    machine.wants(node("a", "one\n"), validate=[rule("no-such-checker", "{staged}/a")])
    assert "no-such-checker is not installed" in machine.fails()
    # its package may come with an earlier task of the run that is only imagined
    told = machine.run(check=True)
    assert told["changed"]
    assert "demo was never installed here" in str(told["warnings"])
    # but where the role is at home, check mode refuses what the run would refuse
    machine.wants(node("a", "one\n")).run()
    machine.wants(node("a", "two\n"), validate=[rule("no-such-checker", "{staged}/a")])
    assert "no-such-checker is not installed" in machine.fails(check=True)


def test_checker_that_hangs(machine: Any, node: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.module, "CHECKER_SECONDS", 0.2)
    machine.wants(node("a", "one\n"), validate=[rule("sh", "-c", "sleep 30; : {staged}")])
    assert "with exit code 124: no answer within 0.2 seconds" in machine.fails()


def test_checker_without_a_place_sees_the_tree_laid_over_the_machine(
    machine: Any, node: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # below another root that isn't possible, and said
    machine.wants(node("etc/a", "one\n"), validate=[rule("sshd", "-t")])
    assert "sshd -t can only judge a running machine" in str(machine.run()["warnings"])
    # on the machine: the command, as it would be given
    given: list[tuple[str, ...]] = []

    def note(*words: str, timeout: int) -> tuple[int, str]:  # noqa: ARG001 - the signature of what it stands for
        given.append(words)
        return 0, ""

    monkeypatch.setattr(machine.module, "command", note)
    rootfs = machine.module.Rootfs(machine.root, "demo", check=True)
    rootfs.root = Path("/")
    rootfs.run_checker(rule("sshd", "-t"), Path("/staged"), [])
    assert rootfs.warnings == []
    assert given[0][:4] == ("unshare", "--mount", "sh", "-c")
    assert given[0][5:] == ("sh", "/staged", "sshd", "-t")


def test_tree_laid_over_the_machine_for_real(machine: Any, tmp_path: Path) -> None:
    """In a mount namespace, the files of /etc and the staged ones are seen together."""
    staged = tmp_path / "staged"
    (staged / "etc/nomade-laid-over").mkdir(parents=True)
    (staged / "etc/nomade-laid-over/new").write_text("new\n")
    (staged / "etc/hosts").write_text("replaced\n")
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    look = ["cat", "/etc/nomade-laid-over/new", "/etc/hosts", "/etc/os-release"]
    done = subprocess.run(
        [*alone, "sh", "-c", machine.module.LAY_OVER, "sh", str(staged), *look],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "new\nreplaced\n" + Path("/etc/os-release").read_text()
    assert not Path("/etc/nomade-laid-over").exists()
    assert Path("/etc/hosts").read_text() != "replaced\n"


# -- manifest and removal ---------------------------------------------------------------------


def test_what_the_new_version_lacks_is_removed(machine: Any, node: Make) -> None:
    machine.write("etc/keep", "not ours\n")
    machine.wants(
        node("etc/a", "one\n"),
        node("etc/old/x/b", "two\n"),
        node("etc/l", "a", kind="link"),
        node("etc/old/own", kind="directory", mode=0o700),
    ).run()
    machine.wants(node("etc/a", "one\n"))
    told, done = machine.run(check=True), machine.run()
    assert told == done
    assert paths(done, "removed") == {
        f"/etc/{p}" for p in ("l", "old", "old/x", "old/x/b", "old/own")
    }
    assert set(machine.tree()) == {"etc", "etc/keep", "etc/a"}
    assert set(machine.manifest()["nodes"]) == {"etc/a"}
    assert not machine.run()["changed"]


def test_directory_of_ours_with_something_of_others_stays(machine: Any, node: Make) -> None:
    machine.wants(node("etc/d/a", "one\n")).run()
    machine.write("etc/d/theirs", "x")
    machine.wants()
    told, done = machine.run(check=True), machine.run()
    assert told == done
    assert paths(done, "removed") == {"/etc/d/a"}
    assert machine.read("etc/d/theirs") == "x"
    assert not machine.run()["changed"]


def test_absent_removes_all(machine: Any, node: Make) -> None:
    machine.write("etc/keep", "not ours\n")
    before = machine.tree()
    machine.wants(node("etc/d/a", "one\n"), node("etc/l", "d", kind="link")).run()
    told, done = machine.run("absent", check=True), machine.run("absent")
    assert told == done
    assert done["changed"]
    assert machine.tree() == before
    assert not (machine.root / "var/lib/nomade/rootfs/demo").exists()
    for check in (True, False):
        assert not machine.run("absent", check=check)["changed"]


def test_absent_gives_back_what_was_there(machine: Any, node: Make) -> None:
    machine.write("etc/a", "theirs\n").chmod(0o640)
    machine.write("etc/same", "one\n")
    (machine.root / "etc/l").symlink_to("elsewhere")
    (machine.root / "etc/d").mkdir(mode=0o711)
    before = machine.tree()
    machine.wants(
        node("etc/a", "one\n"),
        node("etc/same", "one\n"),
        node("etc/l", "a", kind="link"),
        node("etc/d", kind="directory", mode=0o700),
    )
    assert paths(machine.run()) == {"/etc/a", "/etc/l", "/etc/d"}
    # the second version, and a hand, don't make us forget what was there first
    machine.asked["nodes"][0] = node("etc/a", "two\n")
    machine.run()
    machine.write("etc/a", "by hand\n")
    told, done = machine.run("absent", check=True), machine.run("absent")
    assert told == done
    assert machine.tree() == before


def test_a_file_that_leaves_the_tree_gives_back_what_was_there(machine: Any, node: Make) -> None:
    machine.write("etc/a", "theirs\n")
    machine.wants(node("etc/a", "one\n")).run()
    result = machine.wants().run()
    assert machine.read("etc/a") == "theirs\n"
    assert paths(result) == {"/etc/a"}


def test_what_has_become_another_kind_of_thing_is_left(machine: Any, node: Make) -> None:
    machine.wants(node("etc/a", "one\n")).run()
    (machine.root / "etc/a").unlink()
    machine.write("etc/a/x", "theirs\n")
    assert not machine.wants().run()["changed"]
    assert machine.read("etc/a/x") == "theirs\n"


def test_damaged_manifest(machine: Any, node: Make) -> None:
    machine.wants(node("a", "one\n")).run()
    machine.write("var/lib/nomade/rootfs/demo/manifest.json", "{")
    message = machine.fails()
    assert "/demo/manifest.json is damaged" in message
    assert message.endswith("remove it and run again.")


def test_two_runs_at_once(machine: Any, node: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.wants(node("a", "one\n")).run()
    monkeypatch.setattr(machine.module.time, "sleep", lambda _seconds: None)
    handle = os.open(machine.root / "var/lib/nomade/rootfs", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "another run has held" in machine.fails()
        assert not machine.run(check=True)["changed"]  # looking disturbs nobody
    finally:
        os.close(handle)
    assert not machine.run()["changed"]


# -- other owners -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "listed"),
    [
        ("etc/login.defs", "/etc/login.defs"),
        ("usr/lib/systemd/system/x.service", "/lib/systemd/system/x.service"),
    ],
)
def test_file_of_a_package_is_refused(machine: Any, node: Make, path: str, listed: str) -> None:
    machine.write("var/lib/dpkg/info/login:amd64.list", f"/.\n/etc\n{listed}\n")
    machine.wants(node("etc/fine", "one\n"), node(path, "two\n"))
    for check in (True, False):
        assert machine.fails(check=check) == (
            f"demo: /{path} belongs to the package login, whose upgrades would fight with the role "
            f"over it: put the settings in a drop-in directory (like /{path}.d/) instead."
        )


def test_packages_are_asked_about_new_files_only(machine: Any, node: Make) -> None:
    machine.wants(node("etc/a", "one\n"), node("etc", kind="directory")).run()
    machine.write("var/lib/dpkg/info/late.list", "/.\n/etc\n/etc/a\n")
    machine.wants(node("etc/a", "two\n"), node("etc", kind="directory"))
    assert machine.run()["changed"]


def test_file_moves_from_one_role_to_another(machine: Any, node: Make) -> None:
    machine.write("etc/a", "theirs\n")
    machine.wants(node("etc/a", "one\n"), node("etc/d/own", "x")).run(name="first")
    machine.wants(node("etc/a", "two\n")).run(name="second")
    # the first role, in its new version, leaves it alone
    result = machine.wants(node("etc/d/own", "x")).run(name="first")
    assert not result["changed"]
    assert machine.read("etc/a") == "two\n"
    # and the second knows what was there before both
    machine.run("absent", name="second")
    assert machine.read("etc/a") == "theirs\n"


def test_last_role_that_leaves_removes_the_common_directory(machine: Any, node: Make) -> None:
    before = machine.tree()
    machine.wants(node("etc/nomade/a", "one\n")).run(name="first")
    assert paths(machine.wants(node("etc/nomade/b", "two\n")).run(name="second")) == {
        "/etc/nomade/b"
    }
    machine.run("absent", name="first")
    assert set(machine.tree()) == {"etc", "etc/nomade", "etc/nomade/b"}
    machine.run("absent", name="second")
    assert machine.tree() == before


def test_directory_of_another_role_keeps_its_rights(machine: Any, node: Make) -> None:
    machine.wants(node("etc/d", kind="directory", mode=0o700)).run(name="first")
    machine.wants(node("etc/d/a", "one\n")).run(name="second")
    for name in ("first", "second"):
        machine.wants(
            *([node("etc/d", kind="directory", mode=0o700)] if name == "first" else []),
            *([node("etc/d/a", "one\n")] if name == "second" else []),
        )
        assert not machine.run(name=name)["changed"]
    assert (machine.root / "etc/d").stat().st_mode & 0o777 == 0o700


def test_manifest_can_be_read_by_people(machine: Any, node: Make) -> None:
    machine.wants(node("etc/a", "one\n", mode=0o600, restart=["a.service"])).run()
    entry = machine.manifest()["nodes"]["etc/a"]
    assert entry["kind"] == "file"
    assert entry["mode"] == "0600"
    assert entry["restart"] == ["a.service"]
    assert "one" not in json.dumps(machine.manifest())


@pytest.mark.parametrize(
    "path",
    [
        "plugins/modules/rootfs.py",
        "plugins/module_utils/rootfs_files.py",
        "plugins/module_utils/rootfs_units.py",
    ],
)
def test_runs_on_the_oldest_python_of_a_machine(path: str) -> None:
    text = (Path(__file__).parents[2] / path).read_text()
    ast.parse(text, feature_version=(3, 9))
