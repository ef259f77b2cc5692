"""One word for each capability of a machine."""

from __future__ import annotations

from typing import Any

import pytest

from nomade.verdict import broken, unreachable, verdict

WANTED = ["workstation", "vpn_client"]


def answer(**statuses: str) -> dict[str, Any]:
    return {
        "checks": [
            {
                "name": f"{capability}-check",
                "capability": capability,
                "status": status,
                "message": f"{capability} is {status}",
                "remedy": {"fr": "faire", "en": "do"},
            }
            for capability, status in statuses.items()
        ]
    }


def states(**what: Any) -> dict[str, str]:
    found: dict[str, str] = verdict(WANTED, **what)["capabilities"]
    return found


def test_all_green() -> None:
    assert verdict(WANTED, check=answer(workstation="OK", vpn_client="OK")) == {
        "capabilities": {"workstation": "ok", "vpn_client": "ok"},
        "failures": [],
    }


def test_amber_is_good_enough() -> None:
    assert states(check=answer(workstation="WARNING", vpn_client="OK"))["workstation"] == "ok"


def test_red_and_unknown_fail_with_the_remedy_of_the_check() -> None:
    found = verdict(WANTED, check=answer(workstation="UNKNOWN", vpn_client="CRITICAL"))
    assert found["capabilities"] == {"workstation": "failed", "vpn_client": "failed"}
    assert [f["check"] for f in found["failures"]] == ["workstation-check", "vpn_client-check"]
    assert found["failures"][0]["remedy"] == {"fr": "faire", "en": "do"}


def test_a_red_tunnel_while_no_gateway_answers_waits() -> None:
    red = answer(workstation="OK", vpn_client="CRITICAL")
    assert states(check=red, gateway_down=True) == {"workstation": "ok", "vpn_client": "waiting"}
    green = answer(workstation="OK", vpn_client="OK")
    assert states(check=green, gateway_down=True)["vpn_client"] == "ok"


def test_a_tunnel_seen_only_from_inside_is_not_proven() -> None:
    green = answer(workstation="OK", vpn_client="OK")
    assert states(check=green, outside=False) == {"workstation": "ok", "vpn_client": "unproven"}


def test_what_failed_while_it_was_set_up_stays_failed_whatever_the_checks_say() -> None:
    failure = {"capability": "workstation", "check": "workstation", "message": "no space left"}
    found = verdict(WANTED, check=answer(workstation="OK", vpn_client="OK"), failures=[failure])
    assert found["capabilities"]["workstation"] == "failed"
    assert found["failures"] == [failure]


def test_what_failed_beside_the_shown_capabilities_is_shown() -> None:
    failure = {"capability": "management_account", "check": "sshd", "message": "refused"}
    green = answer(workstation="OK", vpn_client="OK")
    assert states(check=green, failures=[failure])["management_account"] == "failed"


def test_absent_and_refused_machines_are_not_judged() -> None:
    assert states(absent=True) == {"workstation": "absent", "vpn_client": "absent"}
    assert states(refused=True) == {"workstation": "skipped", "vpn_client": "skipped"}


def test_check_mode_promises_nothing() -> None:
    assert states(planned=True) == {"workstation": "planned", "vpn_client": "planned"}


def test_silence_is_not_health() -> None:
    found = verdict(["workstation"], check=None)
    assert found["capabilities"] == {"workstation": "failed"}
    assert found["failures"][0]["message"]["en"] == "nomade-check gave no answer"


def test_a_capability_that_no_check_speaks_of_is_not_there() -> None:
    found = verdict(WANTED, check=answer(vpn_client="OK"))
    assert found["capabilities"] == {"workstation": "failed", "vpn_client": "ok"}
    assert "never set up" in found["failures"][0]["message"]["en"]


def spoiled(**result: Any) -> dict[str, Any]:
    return broken(result, "Install it", capability="vpn_client", asset="vb-0001", playbook="equip")


def test_what_could_not_be_set_up_says_which_task_why_and_what_to_do() -> None:
    found = spoiled(msg="wg0 doesn't stay up.")
    assert (found["capability"], found["check"]) == ("vpn_client", "vpn_client")
    assert found["message"] == "Install it: wg0 doesn't stay up."
    assert found["remedy"]["en"] == (
        "Mend the cause, then: ansible-playbook playbooks/equip.yml --limit vb-0001"
    )


def test_a_command_that_failed_says_its_last_words() -> None:
    found = spoiled(msg="The command exited with a non-zero return code.", stderr="a\nb: no\n")
    assert found["message"].endswith("return code: b: no")


def test_the_item_of_a_loop_that_failed_is_told() -> None:
    results = [{"msg": "fine"}, {"failed": True, "msg": "not fine"}]
    assert spoiled(msg="One or more items failed", results=results)["message"].endswith("not fine")


@pytest.mark.parametrize(
    "said",
    [
        "E:Write error - write (28: No space left on device)",
        "E: You don't have enough free space in /var/cache/apt/archives/.",
        "vpn_client: The file system /var is full (3 kB free): make room and run again.",
    ],
)
def test_a_full_disk_has_a_remedy_of_its_own(said: str) -> None:
    assert "Make room on the disk of vb-0001" in spoiled(msg=said)["remedy"]["en"]


SSH = (
    'Data could not be sent to remote host "10.0.0.9". '
    "Make sure this host can be reached over ssh: "
)


def why(message: str, seen: str = "") -> dict[str, Any]:
    return unreachable(f"Task failed: {SSH}{message}", "vb-0001", "10.0.0.9", seen)


def test_a_machine_that_nobody_answers_for_is_absent_since_it_was_seen() -> None:
    found = why("ssh: connect to host 10.0.0.9 port 22: No route to host\r\n", "2026-11-20")
    assert found["absent"]
    assert found["failure"]["message"]["en"] == (
        "absent (last seen: 2026-11-20): ssh: connect to host 10.0.0.9 port 22: No route to host"
    )
    assert "jamais" in why("timed out")["failure"]["message"]["fr"]
    assert unreachable("", "vb-0001", "")["absent"]


@pytest.mark.parametrize(
    ("message", "check", "said", "remedy"),
    [
        (
            "No ED25519 host key is known for vb-0001 and you have requested strict checking.\n"
            "Host key verification failed.",
            "contact",
            "has not been enrolled",
            "playbooks/enrol.yml -e asset=vb-0001 -e address=10.0.0.9",
        ),
        (
            "@@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@@\n"
            "Host key verification failed.",
            "identity",
            "does not show the host key pinned",
            "management_address",
        ),
        (
            "nomade@10.0.0.9: Permission denied (publickey).",
            "contact",
            "refuses your key",
            "ssh-add -l",
        ),
    ],
)
def test_a_machine_that_answers_is_not_absent(
    message: str, check: str, said: str, remedy: str
) -> None:
    found = why(message)
    assert not found["absent"]
    assert found["failure"]["check"] == check
    assert said in found["failure"]["message"]["en"]
    assert remedy in found["failure"]["remedy"]["en"]
    assert found["failure"]["message"]["fr"] != found["failure"]["message"]["en"]


def test_what_lies_behind_the_tunnel_waits_with_it_and_the_reason_is_told_once() -> None:
    red = answer(workstation="CRITICAL", vpn_client="CRITICAL", links="CRITICAL")
    found = verdict([*WANTED, "links"], check=red, gateway_down=True)
    waiting = {"vpn_client": "waiting", "links": "waiting"}
    assert found["capabilities"] == {"workstation": "failed", **waiting}
    assert [f["check"] for f in found["failures"]] == ["workstation-check", "vpn-gateway"]
