"""Settings of the conference client that contradict each other are refused before any change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles/conference_client"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nTm9tYWRl\n-----END CERTIFICATE-----\n"
FILES = {
    "ca.pem": f"Town\n{CERTIFICATE}{CERTIFICATE}",
    "both.pem": f"{CERTIFICATE}-----BEGIN EC " + "PRIVATE KEY-----\n",
    "none.pem": "no certificate at all\n",
}
NATIVE = {
    "conference_client_native_package": "visio",
    "conference_client_native_url": "https://example.org/visio.deb",
    "conference_client_native_sha256": "0" * 64,
}
# what is set, a piece of the only sentence
CASES: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"conference_client_service": "teams"}, ""),
    ({"conference_client_ca_files": ["ca.pem"]}, ""),
    (NATIVE, ""),
    ({"conference_client_service": "jitsi"}, "jitsi has no address of its own"),
    ({"conference_client_url": "http://visio.example.org/"}, "write an address with https://"),
    ({"conference_client_url": "https://Visio.example.org"}, "a name in small letters"),
    ({"conference_client_origins": ["https://*.webex.com"]}, "a whole name in small letters"),
    ({"conference_client_origins": ["https://a.example.org/b"]}, "nothing behind it"),
    (
        {"conference_client_ports": [{"protocol": "tcp", "port": "https", "probe": "tls"}]},
        "write a number, or a range",
    ),
    (
        {"conference_client_ports": [{"protocol": "udp", "port": "1-9", "probe": "stun"}]},
        "name one port of it",
    ),
    (
        {"conference_client_ports": [{"protocol": "udp", "port": "443", "probe": "tls"}]},
        "a probe that does not fit",
    ),
    (
        {"conference_client_ports": [{"protocol": "udp", "port": "10000"}]},
        "no port with a probe",
    ),
    ({"conference_client_ca_files": ["/nowhere.pem"]}, "/nowhere.pem, which is not there"),
    ({"conference_client_ca_files": ["both.pem"]}, "and no private key"),
    ({"conference_client_ca_files": ["none.pem"]}, "must hold certificates in PEM"),
    ({"conference_client_chromium": False}, "keep one browser"),
    ({**NATIVE, "conference_client_native_package": ""}, "write the package's name"),
    ({**NATIVE, "conference_client_native_sha256": "ABC"}, "that sha256sum says of visio.deb"),
]


@pytest.fixture(scope="module")
def said(
    tmp_path_factory: pytest.TempPathFactory, play_rules: Callable[..., None]
) -> list[dict[str, Any]]:
    """Have Ansible judge all cases in one playbook."""
    directory = tmp_path_factory.mktemp("rules")
    for name, text in FILES.items():
        (directory / name).write_text(text, encoding="utf-8")
    tasks: list[dict[str, Any]] = []
    for number, (settings, _) in enumerate(CASES):
        files = [str(directory / name) for name in settings.get("conference_client_ca_files", [])]
        tasks.append(
            {
                "ansible.builtin.copy": {
                    "dest": str(directory / f"{number}.json"),
                    "content": "{{ {'policy': conference_client_chromium_policy, 'faults':"
                    " conference_client_rules | rejectattr('holds') | map(attribute='otherwise')"
                    " | list} | to_json }}",
                    "mode": "0600",
                },
                "vars": {**settings, "conference_client_ca_files": files},
            }
        )
    # what the machine answered: it has nothing of ours
    nothing: dict[str, list[str]] = {"files": []}
    play_rules(directory, ["conference_client"], tasks, conference_client_found=nothing)
    return [json.loads((directory / f"{n}.json").read_text()) for n in range(len(CASES))]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[str(settings) for settings, _ in CASES])
def test_rule(said: list[dict[str, Any]], number: int) -> None:
    _, sentence = CASES[number]
    faults = said[number]["faults"]
    assert len(faults) == (1 if sentence else 0), faults
    assert not sentence or sentence in faults[0]


def test_what_each_service_brings(said: list[dict[str, Any]]) -> None:
    policies = [answer["policy"] for answer in said]
    assert policies[0]["VideoCaptureAllowedUrls"] == ["https://visio.suite.anct.gouv.fr"]
    assert policies[1]["VideoCaptureAllowedUrls"] == [
        "https://teams.microsoft.com",
        "https://teams.cloud.microsoft",
        "https://teams.live.com",
    ]
    assert policies[0]["VideoCaptureAllowed"] is False


def test_every_certificate_of_a_file_is_handed_on(said: list[dict[str, Any]]) -> None:
    assert said[2]["policy"]["CACertificates"] == ["Tm9tYWRl", "Tm9tYWRl"]
