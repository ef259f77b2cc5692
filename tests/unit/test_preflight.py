"""Preflight: every fault with its exact sentence, in both languages, and nobody contacted."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from nomade.preflight import Town, prove
from nomade.register import COLUMNS, read_register, slug
from nomade.settings import TOWN_SPEC, load_catalogue
from nomade.varfiles import read_vars

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = Path("inventories/valbourg")
# made by age-keygen for this test, its other half thrown away
AGE = "age1m6fndqygplq4657psnufsgl4dw7a9vp7hsjqxwzs8jup57s76qys9qph77\n"
VAULTED = "$ANSIBLE_VAULT;1.1;AES256\n6162\n"

ROLE_SPEC = """
argument_specs:
  main:
    short_description: A role
    options:
      vpn_client_port: {type: int, description: A port., default: 51820}
      vpn_client_dns: {type: list, elements: str, description: Servers., default: []}
      vpn_client_autostart: {type: bool, description: At boot., default: true}
      vpn_client_psk: {type: str, description: A secret.}
      vpn_client_comment: {type: str, description: Some words.}
      vpn_client_mode: {type: str, description: A choice., choices: [split, full]}
"""
SETTINGS = {
    "nomade_town": "valbourg",
    "nomade_hotline": "4242",
    "workstation_technicians": ["alice"],
    "nomade_capabilities": {"vpn_client": True},
    "vpn_ipv4_network": "10.66.0.0/16",
    "vpn_ipv6_network": "fd66:1::/64",
    "vpn_gateways": [{"name": "gw1", "endpoint": "198.51.100.10", "address_ipv4": "10.66.0.1"}],
    "vpn_probe_name": "intranet.example.org",
    "vpn_intranet_networks": ["10.20.0.0/16"],
    "vpn_dns": ["10.20.0.53"],
}
SERVERS = """
servers:
  children:
    vpn_gateways:
      hosts:
        gw1:
          ansible_host: 10.20.0.10
    package_caches:
      hosts:
        cache1:
          ansible_host: 10.20.0.11
"""


def wireguard(seed: int) -> str:
    return base64.b64encode(bytes([seed]) * 32).decode() + "\n"


def ssh(seed: int) -> str:
    name = b"ssh-ed25519"
    blob = len(name).to_bytes(4) + name + (32).to_bytes(4) + bytes([seed]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} somebody\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def fleet(*lines: dict[str, str]) -> str:
    columns = [*COLUMNS, "management_address"]
    rows = [",".join(line.get(column, "") for column in columns) for line in lines]
    return "\n".join([",".join(columns), *rows]) + "\n"


LAPTOPS = [
    {"asset_tag": "vb-1", "state": "assigned", "assignee_login": "marie", "assignee_name": "Marie"},
    {"asset_tag": "vb-2", "state": "assigned", "assignee_login": "paul", "assignee_name": "Paul"},
]
ALLOCATIONS = (
    "asset_tag,vpn_ipv4,vpn_ipv6,allocated_on\n"
    "vb-1,10.66.0.17,fd66:1::11,2026-11-24\n"
    "vb-2,10.66.0.18,fd66:1::12,2026-11-24\n"
)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """A small project with a town in which nothing is wrong."""
    here = tmp_path / INVENTORY
    write(tmp_path / TOWN_SPEC, (ROOT / TOWN_SPEC).read_text())
    write(tmp_path / "roles/vpn_client/meta/argument_specs.yml", ROLE_SPEC)
    write(
        tmp_path / "group_vars/all.yml", "---\nvpn_port: 51820\nvpn_client_port: '{{ vpn_port }}'\n"
    )
    write(tmp_path / "group_vars/netboot_servers.yml", "---\n")
    (tmp_path / "playbooks/group_vars").symlink_to("../group_vars")
    write(here / "fleet.csv", fleet(*LAPTOPS))
    write(here / "allocations.csv", ALLOCATIONS)
    write(here / "servers.yml", SERVERS)
    write(here / "group_vars/all.yml", "---\nnomade_town: valbourg\n")
    for seed, host in enumerate(("vb-1", "vb-2", "gw1"), 1):
        write(here / f"keys/vpn/{host}.pub", wireguard(seed))
    write(here / "keys/technicians/alice.pub", ssh(1))
    write(here / "keys/technicians/bob.pub", ssh(2))
    write(here / "keys/town.age.pub", AGE)
    groups = {
        "all": ["vb-1", "vb-2", "gw1", "cache1"],
        "workstations": ["vb-1", "vb-2"],
        "vpn_gateways": ["gw1"],
        "package_caches": ["cache1"],
        "department_etat_civil": ["vb-1"],
    }
    return Town(tmp_path, here, groups, settings=dict(SETTINGS))


def put(name: str, text: str) -> Callable[[Town], Town]:
    """Break a town by writing a file of its."""

    def break_it(town: Town) -> Town:
        write(town.directory / name, text)
        return town

    return break_it


def add(name: str, text: str) -> Callable[[Town], Town]:
    """Break a town by adding to a file of its."""

    def break_it(town: Town) -> Town:
        path = town.directory / name
        write(path, path.read_text() + text)
        return town

    return break_it


def given(**values: object) -> Callable[[Town], Town]:
    """Break a town by the value that a setting ends up with."""
    return lambda town: replace(town, settings={**town.settings, **values})


def command_line(**values: object) -> Callable[[Town], Town]:
    return lambda town: replace(town, extra_vars=values)


def link(name: str, target: str) -> Callable[[Town], Town]:
    def break_it(town: Town) -> Town:
        (town.directory / name).symlink_to(target)
        return town

    return break_it


def readable(name: str, text: str) -> Callable[[Town], Town]:
    def break_it(town: Town) -> Town:
        write(town.directory / name, text).chmod(0o644)
        return town

    return break_it


def without(name: str) -> Callable[[Town], Town]:
    def break_it(town: Town) -> Town:
        (town.directory / name).unlink()
        return town

    return break_it


ALL = "inventories/valbourg/group_vars/all.yml"
VARS = "inventories/valbourg/group_vars"
KEYS = "inventories/valbourg/keys"
# what breaks the town, the sentence, la phrase; {town} is the town's directory
FAULTS: dict[str, tuple[Callable[[Town], Town], str, str]] = {
    "misspelled setting": (
        add("group_vars/all.yml", "vpn_prot: 51821\n"),
        f"{ALL}:3: vpn_prot: 51821: no such setting; did you mean vpn_port?",
        f"{ALL}:3: vpn_prot: 51821: ce réglage n'existe pas ; vouliez-vous dire vpn_port ?",
    ),
    "misspelled variable of a role (the longest prefix wins)": (
        add("group_vars/all.yml", "vpn_client_dsn: [10.20.0.53]\n"),
        f'{ALL}:3: vpn_client_dsn: ["10.20.0.53"]: no such setting; did you mean vpn_client_dns?',
        f'{ALL}:3: vpn_client_dsn: ["10.20.0.53"]: ce réglage n\'existe pas ; '
        "vouliez-vous dire vpn_client_dns ?",
    ),
    "nothing like it": (
        add("group_vars/all.yml", "vpn_client_blue: yes please\n"),
        f'{ALL}:3: vpn_client_blue: "yes please": no such setting; see roles/vpn_client/README.md',
        f'{ALL}:3: vpn_client_blue: "yes please": ce réglage n\'existe pas ; '
        "voir roles/vpn_client/README.md",
    ),
    "misspelled prefix": (
        add("group_vars/all.yml", "vpm_client_port: 1\n"),
        f"{ALL}:3: vpm_client_port: 1: nothing reads this; did you mean vpn_client_port?",
        f"{ALL}:3: vpm_client_port: 1: rien ne lit ceci ; vouliez-vous dire vpn_client_port ?",
    ),
    "misspelled and vaulted: no value": (
        add("group_vars/all.yml", "vpn_client_pks: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  61\n"),
        f"{ALL}:3: vpn_client_pks: (hidden): no such setting; did you mean vpn_client_psk?",
        f"{ALL}:3: vpn_client_pks: (masqué): ce réglage n'existe pas ; "
        "vouliez-vous dire vpn_client_psk ?",
    ),
    "misspelled, with a name that smells of a secret: no value": (
        add("group_vars/all.yml", "vpn_client_token_of_old: hunter2\n"),
        f"{ALL}:3: vpn_client_token_of_old: (hidden): no such setting; "
        "see roles/vpn_client/README.md",
        f"{ALL}:3: vpn_client_token_of_old: (masqué): ce réglage n'existe pas ; "
        "voir roles/vpn_client/README.md",
    ),
    "on the command line": (
        command_line(vpn_prot="51821"),
        '-e: vpn_prot: "51821": no such setting; did you mean vpn_port?',
        '-e: vpn_prot: "51821": ce réglage n\'existe pas ; vouliez-vous dire vpn_port ?',
    ),
    "inside servers.yml": (
        add("servers.yml", "  vars:\n    vpn_prot: 1\n"),
        f"{INVENTORY}/servers.yml:13: vpn_prot: 1: no such setting; did you mean vpn_port?",
        f"{INVENTORY}/servers.yml:13: vpn_prot: 1: ce réglage n'existe pas ; "
        "vouliez-vous dire vpn_port ?",
    ),
    "of one host, in JSON": (
        put("host_vars/vb-1.json", '{\n "vpn_prot": 1}\n'),
        f"{INVENTORY}/host_vars/vb-1.json:2: vpn_prot: 1: no such setting; did you mean vpn_port?",
        f"{INVENTORY}/host_vars/vb-1.json:2: vpn_prot: 1: ce réglage n'existe pas ; "
        "vouliez-vous dire vpn_port ?",
    ),
    "what the register says": (
        put("host_vars/vb-1.yml", "fleet_wave: 2\n"),
        f"{INVENTORY}/host_vars/vb-1.yml:1: fleet_wave: 2: this comes from the register; "
        "write it in fleet.csv",
        f"{INVENTORY}/host_vars/vb-1.yml:1: fleet_wave: 2: ceci vient du registre ; "
        "l'écrire dans fleet.csv",
    ),
    "set twice": (
        add("group_vars/all.yml", "vpn_mtu: 1400\nvpn_mtu: 1380\n"),
        f"{ALL}:4: vpn_mtu: 1380: line 3 sets it too, in vain; keep one of the two",
        f"{ALL}:4: vpn_mtu: 1380: la ligne 3 le définit aussi, en vain ; n'en garder qu'une",
    ),
    "no number": (
        add("group_vars/all.yml", 'vpn_port: "abc"\n'),
        f'{ALL}:3: vpn_port: "abc": must be a whole number',
        f'{ALL}:3: vpn_port: "abc": doit être un nombre entier',
    ),
    "no port": (
        add("group_vars/all.yml", "vpn_port: 99999\n"),
        f"{ALL}:3: vpn_port: 99999: must be a port, 1 to 65535",
        f"{ALL}:3: vpn_port: 99999: doit être un port, de 1 à 65535",
    ),
    "a text for a list": (
        add("group_vars/all.yml", "vpn_dns: 10.20.0.53\n"),
        f'{ALL}:3: vpn_dns: "10.20.0.53": must be a list',
        f'{ALL}:3: vpn_dns: "10.20.0.53": doit être une liste',
    ),
    "true as a text, from the command line": (
        command_line(vpn_client_autostart="false"),
        '-e: vpn_client_autostart: "false": must be true or false; '
        "write it as JSON, as in -e '{\"name\": false}'",
        '-e: vpn_client_autostart: "false": doit être true ou false ; '
        "l'écrire en JSON, comme -e '{\"nom\": false}'",
    ),
    "no as a text": (
        add("group_vars/all.yml", "vpn_client_comment: no\n"),
        f"{ALL}:3: vpn_client_comment: false: must be text; write it in quotes",
        f"{ALL}:3: vpn_client_comment: false: doit être un texte ; le mettre entre guillemets",
    ),
    "a telephone number that YAML reads in octal": (
        add("group_vars/all.yml", "nomade_hotline: 0123456701\n"),
        f'{ALL}:3: nomade_hotline: "0123456701": YAML reads this as the number 21913025; '
        "write it in quotes",
        f'{ALL}:3: nomade_hotline: "0123456701": YAML y lit le nombre 21913025 ; '
        "le mettre entre guillemets",
    ),
    "none of the choices": (
        add("group_vars/all.yml", "vpn_client_mode: whole\n"),
        f'{ALL}:3: vpn_client_mode: "whole": must be one of: split, full',
        f'{ALL}:3: vpn_client_mode: "whole": doit être l\'un de : split, full',
    ),
    "a setting without a value": (
        add("group_vars/all.yml", "vpn_dns:\n#  - 10.20.0.53\n"),
        f"{ALL}:3: vpn_dns: null: has no value; write one, or remove the line",
        f"{ALL}:3: vpn_dns: null: n'a pas de valeur ; en donner une, ou supprimer la ligne",
    ),
    "deep inside": (
        add("group_vars/all.yml", "vpn_gateways:\n  - {address_ipv4: 10.66.0.1, nome: gw1}\n"),
        f'{ALL}:3: vpn_gateways[0].nome: "gw1": no such setting; did you mean name?\n'
        f'{ALL}:3: vpn_gateways[0]: {{"address_ipv4": "10.66.0.1", "nome": "gw1"}}: '
        "lacks name; add it\n"
        f'{ALL}:3: vpn_gateways[0]: {{"address_ipv4": "10.66.0.1", "nome": "gw1"}}: '
        "lacks endpoint; add it",
        f'{ALL}:3: vpn_gateways[0].nome: "gw1": ce réglage n\'existe pas ; '
        "vouliez-vous dire name ?\n"
        f'{ALL}:3: vpn_gateways[0]: {{"address_ipv4": "10.66.0.1", "nome": "gw1"}}: '
        "il manque name ; l'ajouter\n"
        f'{ALL}:3: vpn_gateways[0]: {{"address_ipv4": "10.66.0.1", "nome": "gw1"}}: '
        "il manque endpoint ; l'ajouter",
    ),
    "a secret in plain text": (
        add("group_vars/all.yml", "vpn_client_psk: hunter2\n"),
        f"{ALL}:3: vpn_client_psk: (hidden): a secret in plain text; "
        "encrypt it with `ansible-vault encrypt_string`",
        f"{ALL}:3: vpn_client_psk: (masqué): un secret en clair ; "
        "le chiffrer avec « ansible-vault encrypt_string »",
    ),
    "no YAML": (
        add("group_vars/all.yml", "vpn_dns: [10.20.0.53\n"),
        f"{ALL}:4: cannot be read (did not find expected ',' or ']'); correct it",
        f"{ALL}:4: est illisible (did not find expected ',' or ']') ; le corriger",
    ),
    "a list of names": (
        put("group_vars/all.yml", "- nomade_town\n"),
        f"{ALL}:1: cannot be read (not a list of names and values); correct it",
        f"{ALL}:1: est illisible (not a list of names and values) ; le corriger",
    ),
    "a required setting": (
        given(nomade_hotline=""),
        f"{VARS}: nomade_hotline: is missing; docs/settings.md says what it is",
        f"{VARS}: nomade_hotline: manque ; docs/settings.md dit ce que c'est",
    ),
    "a template that leads nowhere": (
        lambda town: replace(town, unrendered={"vpn_dns": "'where' is undefined"}),
        f"{VARS}: vpn_dns: cannot be worked out ('where' is undefined); correct it",
        f"{VARS}: vpn_dns: ne peut pas être calculé ('where' is undefined) ; le corriger",
    ),
    "a capability switched off in vain": (
        given(nomade_capabilities={"vpn_clinet": False}),
        f"{VARS}: nomade_capabilities.vpn_clinet: false: there is no such capability; "
        "did you mean vpn_client?",
        f"{VARS}: nomade_capabilities.vpn_clinet: false: cette capacité n'existe pas ; "
        "vouliez-vous dire vpn_client ?",
    ),
    "a capability switched off by a word": (
        given(nomade_capabilities={"vpn_client": "off"}),
        f'{VARS}: nomade_capabilities.vpn_client: "off": must be true or false',
        f'{VARS}: nomade_capabilities.vpn_client: "off": doit être true ou false',
    ),
    "a link for a department that nobody works in": (
        given(workstation_links=[{"name": "budget", "departments": ["Finance"]}]),
        f"{VARS}: workstation_links: budget: departments: Finance: "
        "nobody in the register works there",
        f"{VARS}: workstation_links: budget: departments: Finance: "
        "personne au registre n'y travaille",
    ),
    "all.yml beside all/": (
        put("group_vars/all/vpn.yml", "vpn_mtu: 1380\n"),
        f"{ALL}: Ansible reads {VARS}/all/ and not this file; move it in there",
        f"{ALL}: Ansible lit {VARS}/all/ et non ce fichier ; l'y déplacer",
    ),
    "the same for a host": (
        lambda town: put("host_vars/vb-1.yml", "")(put("host_vars/vb-1/x.yml", "")(town)),
        f"{INVENTORY}/host_vars/vb-1.yml: Ansible reads {INVENTORY}/host_vars/vb-1/ and not "
        "this file; move it in there",
        f"{INVENTORY}/host_vars/vb-1.yml: Ansible lit {INVENTORY}/host_vars/vb-1/ et non "
        "ce fichier ; l'y déplacer",
    ),
    "a suffix that Ansible skips": (
        put("group_vars/workstations.yml.txt", "vpn_mtu: 1380\n"),
        f"{VARS}/workstations.yml.txt: Ansible skips this file because of the end of its name; "
        "make it .yml",
        f"{VARS}/workstations.yml.txt: Ansible saute ce fichier à cause de la fin de son nom ; "
        "le terminer par .yml",
    ),
    "no such group": (
        put("group_vars/workstation.yml", "vpn_mtu: 1380\n"),
        f"{VARS}/workstation.yml: no group has this name; did you mean workstations?",
        f"{VARS}/workstation.yml: aucun groupe ne porte ce nom ; vouliez-vous dire workstations ?",
    ),
    "no such host": (
        put("host_vars/zz.yml", "vpn_mtu: 1380\n"),
        f"{INVENTORY}/host_vars/zz.yml: no host has this name; "
        "`ansible-inventory --graph` lists what there is",
        f"{INVENTORY}/host_vars/zz.yml: aucune machine ne porte ce nom ; "
        "« ansible-inventory --graph » en donne la liste",
    ),
    "a link that leads nowhere": (
        link("group_vars/workstations.yml", "../../common/workstations.yml"),
        f"{VARS}/workstations.yml: ../../common/workstations.yml: this link leads nowhere; "
        "mend or remove it",
        f"{VARS}/workstations.yml: ../../common/workstations.yml: ce lien ne mène nulle part ; "
        "le réparer ou le supprimer",
    ),
    "no network": (
        given(vpn_office_networks=["10.20.0.0/16", "10.20.0.1/16"]),
        f'{VARS}: vpn_office_networks: "10.20.0.1/16": is no network; write it like '
        "192.168.10.0/24, with zeros behind the prefix",
        f"{VARS}: vpn_office_networks: \"10.20.0.1/16\": n'est pas un réseau ; l'écrire comme "
        "192.168.10.0/24, avec des zéros après le préfixe",
    ),
    "no network for the tunnel": (
        given(vpn_ipv6_network="10.66.0.0/16"),
        f'{VARS}: vpn_ipv6_network: "10.66.0.0/16": is no IPv6 network; '
        "write it like fd66:1234:5678::/64",
        f'{VARS}: vpn_ipv6_network: "10.66.0.0/16": n\'est pas un réseau IPv6 ; '
        "l'écrire comme fd66:1234:5678::/64",
    ),
    "tunnel and intranet overlap": (
        given(vpn_intranet_networks=["10.20.0.0/16", "10.66.8.0/24"]),
        f'{VARS}: vpn_intranet_networks: "10.66.8.0/24": overlaps the tunnel\'s own network '
        "10.66.0.0/16; choose another network for the tunnel",
        f'{VARS}: vpn_intranet_networks: "10.66.8.0/24": recouvre le réseau du tunnel '
        "10.66.0.0/16 ; choisir un autre réseau pour le tunnel",
    ),
    "a name server outside": (
        given(vpn_dns=["192.168.1.1"]),
        f'{VARS}: vpn_dns: "192.168.1.1": is not reached through the tunnel; '
        "add its network to vpn_intranet_networks",
        f'{VARS}: vpn_dns: "192.168.1.1": n\'est pas joint par le tunnel ; '
        "ajouter son réseau à vpn_intranet_networks",
    ),
    "a name server by name": (
        given(vpn_dns=["ns1"]),
        f'{VARS}: vpn_dns: "ns1": is no address; write it like 192.168.10.53',
        f"{VARS}: vpn_dns: \"ns1\": n'est pas une adresse ; l'écrire comme 192.168.10.53",
    ),
    "a gateway that is no server": (
        given(vpn_gateways=[{"name": "gw2", "endpoint": "198.51.100.10"}]),
        f'{VARS}: vpn_gateways: "gw2": no host of the group vpn_gateways has this name; '
        "add it to servers.yml",
        f'{VARS}: vpn_gateways: "gw2": aucune machine du groupe vpn_gateways ne porte ce nom ; '
        "l'ajouter à servers.yml",
    ),
    "a gateway behind itself": (
        given(vpn_gateways=[{"name": "gw1", "endpoint": "10.20.0.10"}]),
        f'{VARS}: vpn_gateways: "10.20.0.10": this endpoint would be reached through the tunnel '
        "itself; write the gateway's outside address",
        f'{VARS}: vpn_gateways: "10.20.0.10": ce point d\'accès serait joint par le tunnel '
        "lui-même ; écrire l'adresse extérieure de la passerelle",
    ),
    "a gateway among the laptops": (
        given(
            vpn_gateways=[
                {"name": "gw1", "endpoint": "vpn.example.org", "address_ipv4": "10.66.1.1"}
            ]
        ),
        f'{VARS}: vpn_gateways: "10.66.1.1": must be one of the first 16 addresses of '
        "vpn_ipv4_network",
        f'{VARS}: vpn_gateways: "10.66.1.1": doit être l\'une des 16 premières adresses de '
        "vpn_ipv4_network",
    ),
    "a technician without a key": (
        given(workstation_technicians=["alice", "carol"]),
        f"{KEYS}/technicians/carol.pub: is missing, and workstation_technicians names carol; "
        "put the public key there",
        f"{KEYS}/technicians/carol.pub: manque, et workstation_technicians nomme carol ; "
        "y mettre la clé publique",
    ),
    "an address of two laptops": (
        put(
            "fleet.csv",
            fleet(*({**line, "management_address": "192.168.1.7"} for line in LAPTOPS)),
        ),
        f'{INVENTORY}/fleet.csv:3: management_address: "192.168.1.7": is vb-1\'s already '
        f"({INVENTORY}/fleet.csv:2: management_address); write vb-2's own",
        f'{INVENTORY}/fleet.csv:3: management_address: "192.168.1.7": est déjà à vb-1 '
        f"({INVENTORY}/fleet.csv:2: management_address) ; écrire celle de vb-2",
    ),
    "an address of two servers": (
        put("servers.yml", SERVERS.replace("10.20.0.11", "10.20.0.10")),
        f'{INVENTORY}/servers.yml:11: ansible_host: "10.20.0.10": is gw1\'s already '
        f"({INVENTORY}/servers.yml:7: ansible_host); write cache1's own",
        f'{INVENTORY}/servers.yml:11: ansible_host: "10.20.0.10": est déjà à gw1 '
        f"({INVENTORY}/servers.yml:7: ansible_host) ; écrire celle de cache1",
    ),
    "an allocation outside of the tunnel's network": (
        put("allocations.csv", ALLOCATIONS.replace("10.66.0.18", "10.67.0.18")),
        f'{INVENTORY}/allocations.csv:3: vpn_ipv4: "10.67.0.18": is not in vpn_ipv4_network '
        "(10.66.0.0/16); put back the network in which it was allocated",
        f'{INVENTORY}/allocations.csv:3: vpn_ipv4: "10.67.0.18": n\'est pas dans '
        "vpn_ipv4_network (10.66.0.0/16) ; rétablir le réseau dans lequel elle a été attribuée",
    ),
    "an allocation that is a gateway's": (
        put("allocations.csv", ALLOCATIONS.replace("fd66:1::12", "fd66:1::2")),
        f'{INVENTORY}/allocations.csv:3: vpn_ipv6: "fd66:1::2": is one of the first 16 '
        "addresses, which are the gateways'; delete the line and run `fleet allocate`",
        f'{INVENTORY}/allocations.csv:3: vpn_ipv6: "fd66:1::2": est l\'une des 16 premières '
        "adresses, réservées aux passerelles ; supprimer la ligne et lancer « fleet allocate »",
    ),
    "a doubled allocation": (
        put("allocations.csv", ALLOCATIONS.replace("10.66.0.18", "10.66.0.17")),
        f'{INVENTORY}/allocations.csv:3: vpn_ipv4: "10.66.0.17": is vb-1\'s already; '
        "delete the younger line",
        f'{INVENTORY}/allocations.csv:3: vpn_ipv4: "10.66.0.17": est déjà à vb-1 ; '
        "supprimer la ligne la plus récente",
    ),
    "a malformed VPN key": (
        put("keys/vpn/vb-2.pub", wireguard(2)[1:]),
        f"{KEYS}/vpn/vb-2.pub: is no WireGuard public key; write the 44 characters that "
        "`wg pubkey` prints",
        f"{KEYS}/vpn/vb-2.pub: n'est pas une clé publique WireGuard ; écrire les 44 caractères "
        "que donne « wg pubkey »",
    ),
    "a VPN key of two machines": (
        put("keys/vpn/vb-2.pub", wireguard(1)),
        f"{KEYS}/vpn/vb-2.pub: is the same key as vb-1.pub; remove the one that is not in use",
        f"{KEYS}/vpn/vb-2.pub: est la même clé que vb-1.pub ; supprimer celle qui ne sert pas",
    ),
    "a key of two technicians": (
        put("keys/technicians/bob.pub", ssh(1).replace("somebody", "bob")),
        f"{KEYS}/technicians/bob.pub: is the same key as alice.pub; "
        "remove the one that is not in use",
        f"{KEYS}/technicians/bob.pub: est la même clé que alice.pub ; "
        "supprimer celle qui ne sert pas",
    ),
    "a malformed key of a technician": (
        put("keys/technicians/bob.pub", "ssh-ed25519 AAAA bob\n"),
        f"{KEYS}/technicians/bob.pub: is not one SSH public key; write the line of the .pub file "
        "that `ssh-keygen` makes",
        f"{KEYS}/technicians/bob.pub: n'est pas une clé publique SSH ; écrire la ligne du "
        "fichier .pub que fait « ssh-keygen »",
    ),
    "a private key among the public ones": (
        put("keys/technicians/bob", "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
        f"{KEYS}/technicians/bob: this is a private key, and keys/ holds public ones; "
        "move it out of here",
        f"{KEYS}/technicians/bob: c'est une clé privée, et keys/ contient des clés publiques ; "
        "la sortir d'ici",
    ),
    "a private key that others can read": (
        readable("secrets/town.age", "# created: 2026\nAGE-SECRET-KEY-1QQQ\n"),
        f"{INVENTORY}/secrets/town.age: others can read this private key; "
        "run `chmod 600 {town}/secrets/town.age`",
        f"{INVENTORY}/secrets/town.age: d'autres peuvent lire cette clé privée ; "
        "taper « chmod 600 {town}/secrets/town.age »",
    ),
    "a host key of two machines": (
        put("known_hosts", f"vb-1 {ssh(7)}gw1 {ssh(8)}vb-2 {ssh(7)}"),
        f"{INVENTORY}/known_hosts:3: vb-2: has the same host key as vb-1, so the one can pass "
        "for the other; remove /etc/ssh/ssh_host_* on vb-2, run `ssh-keygen -A` there and enrol "
        "it again",
        f"{INVENTORY}/known_hosts:3: vb-2: a la même clé d'hôte que vb-1, l'une peut donc passer "
        "pour l'autre ; supprimer /etc/ssh/ssh_host_* sur vb-2, y lancer « ssh-keygen -A » et "
        "l'enrôler à nouveau",
    ),
    "no key of the town": (
        without("keys/town.age.pub"),
        f"{KEYS}/town.age.pub: is missing, and first passwords are encrypted to it; make a key "
        "with `age-keygen`, keep it elsewhere, and write its public line here",
        f"{KEYS}/town.age.pub: manque, et les premiers mots de passe sont chiffrés avec ; créer "
        "une clé avec « age-keygen », la garder ailleurs, et écrire ici sa ligne publique",
    ),
    "a malformed key of the town": (
        put("keys/town.age.pub", AGE.replace("77", "76")),
        f"{KEYS}/town.age.pub: is no age recipient; write the line age1... that `age-keygen -y` "
        "prints",
        f"{KEYS}/town.age.pub: n'est pas un destinataire age ; écrire la ligne age1... que donne "
        "« age-keygen -y »",
    ),
}


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_told_in_one_sentence(
    town: Town, name: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8" if language == "fr" else "C.UTF-8")
    break_it, english, french = FAULTS[name]
    expected = french if language == "fr" else english
    found = prove(break_it(town)).faults
    assert found == expected.replace("{town}", str(town.directory)).split("\n")


def test_all_faults_are_told_at_once(town: Town) -> None:
    chosen = [
        "misspelled setting",
        "inside servers.yml",
        "no such group",
        "a VPN key of two machines",
        "a doubled allocation",
        "a link that leads nowhere",
        "no key of the town",
    ]
    for name in chosen:
        town = FAULTS[name][0](town)
    proof = prove(town)
    assert sorted(proof.faults) == sorted(FAULTS[name][1] for name in chosen)
    assert proof.summary() == "7 faults in the town's data; no machine was contacted"


def test_sound_town_is_proven_in_one_line(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    proof = prove(town)
    assert proof.faults == []
    assert proof.summary() == "proven: hosts 4, settings 5, addresses 7, keys 6"
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert proof.summary() == "vérifié : machines 4, réglages 5, adresses 7, clés 6"


@pytest.mark.parametrize(
    "break_it",
    [
        put("group_vars/state_lost.yml", "vpn_mtu: 1380\n"),
        put("group_vars/README.md", "What is where.\n"),
        put("host_vars/gw1/.draft.yml", "vpn_prot: 1\n"),
        add("group_vars/all.yml", "my_own: 1\nvpn_port: '{{ my_own }}'\n"),
        add("group_vars/all.yml", "vpn_client_comment: 12\nvpn_client_psk: '{{ lookup(1) }}'\n"),
        put("group_vars/workstations.yml", ""),
        given(nomade_capabilities={"vpn_client": False}, vpn_gateways=[], vpn_probe_name=""),
        put("known_hosts", f"# pinned\nvb-1,192.168.1.7 {ssh(7)}vb-1 {ssh(7)}|1|a= {ssh(7)}"),
        put("records/first-passwords/vb-1.age", "-----BEGIN AGE ENCRYPTED FILE-----\n"),
    ],
)
def test_what_is_sound_is_not_refused(town: Town, break_it: Callable[[Town], Town]) -> None:
    assert prove(break_it(town)).faults == []


def test_vaulted_file_is_looked_into_with_a_password_only(town: Town) -> None:
    put("group_vars/workstations.yml", VAULTED)(town)
    closed = prove(town)
    assert closed.faults == []
    assert closed.notes == [f"{VARS}/workstations.yml is encrypted and was not looked into"]
    assert closed.summary().endswith(closed.notes[0])
    opened = prove(replace(town, decrypt=lambda _path: {"vpn_prot": "s3cret"}))
    assert opened.faults == [
        f"{VARS}/workstations.yml: vpn_prot: (hidden): no such setting; did you mean vpn_port?"
    ]


def test_vault_password_that_others_can_read(town: Town, tmp_path: Path) -> None:
    path = write(tmp_path / "vault-password", "x\n")
    path.chmod(0o640)
    assert prove(replace(town, password_files=[path])).faults == [
        f"vault-password: others can read the vault password; run `chmod 600 {path}`"
    ]
    path.chmod(0o600)
    assert prove(replace(town, password_files=[path])).faults == []


# The project's own data --------------------------------------------------------------------------


def test_policy_sets_what_the_specification_says() -> None:
    policy = yaml.safe_load((ROOT / "group_vars/all.yml").read_text())
    empty = {"str": "", "list": []}
    specified = {
        name: spec.get("default", empty.get(spec["type"]))
        for name, spec in load_catalogue(ROOT).town.items()
    }
    assert {name: policy.get(name) for name in specified} == specified


def test_valbourg_is_proven_in_well_under_a_second() -> None:
    here = ROOT / "inventories/valbourg"
    machines = read_register(here / "fleet.csv")
    tags = [machine.asset_tag for machine in machines]
    variables = {
        assignment.name: assignment.value
        for path in (ROOT / "group_vars/all.yml", *sorted(here.glob("group_vars/all/*.yml")))
        for assignment in read_vars(path)
    }
    groups = {"all": tags, "workstations": tags, "vpn_gateways": ["valbourg-gateway"]}
    groups |= {f"department_{slug(machine.department)}": tags for machine in machines}
    begun = time.process_time()
    proof = prove(Town(ROOT, here, groups, settings=variables))
    assert proof.faults == []
    assert proof.counts["addresses"] > 2 * 150
    assert time.process_time() - begun < 0.5


# With Ansible ------------------------------------------------------------------------------------

PLAYBOOK = """
- name: Touch every machine
  hosts: all
  gather_facts: false
  become: true
  tasks:
    - name: Prove the town's data before any machine is contacted
      preflight:
    - name: Contact it
      ansible.builtin.ping:
"""
# ssh that leaves a trace instead of a connection
SSH = "#!/bin/sh\ntouch '{trace}'\nexit 255\n"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a playbook on a small town whose machines answer nobody."""
    here = tmp_path / "inventories/valbourg"
    write(here / "fleet.csv", fleet(*LAPTOPS))
    write(here / "allocations.csv", ALLOCATIONS)
    write(here / "servers.yml", SERVERS)
    write(here / "keys/town.age.pub", AGE)
    write(here / "keys/technicians/alice.pub", ssh(1))
    write(
        here / "group_vars/all.yml",
        "nomade_hotline: '4242'\nvpn_ipv6_network: fd66:1::/64\n"
        "vpn_gateways: [{name: gw1, endpoint: 198.51.100.10, address_ipv4: 10.66.0.1}]\n"
        "vpn_probe_name: intranet.example.org\nworkstation_technicians: [alice]\n"
        f"ansible_ssh_executable: {tmp_path}/ssh\n",
    )
    write(tmp_path / "playbook.yml", PLAYBOOK)
    (tmp_path / "group_vars").symlink_to(ROOT / "group_vars")
    write(tmp_path / "ssh", SSH.format(trace=tmp_path / "trace")).chmod(0o755)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(here)]
        return subprocess.run(
            [*command, str(tmp_path / "playbook.yml"), *arguments],
            cwd=ROOT,
            env={**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_no_machine_is_contacted_when_the_data_is_refused(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    refused = run("-e", "vpn_prot=51821", "--limit", "vb-2")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    sentence = '-e: vpn_prot: "51821": no such setting; did you mean vpn_port?'
    assert refused.stdout.count(sentence) == 1
    assert "1 fault in the town's data; no machine was contacted" in refused.stdout
    assert not (tmp_path / "trace").exists()


def test_machines_are_contacted_when_the_data_is_sound(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    sound = run()
    assert "proven: hosts 4" in sound.stdout, sound.stdout + sound.stderr
    assert sound.returncode == 4  # nobody answered
    assert (tmp_path / "trace").exists()


def test_vaulted_file_is_opened_by_the_password_of_the_run(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    password = write(tmp_path / "password", "open sesame\n")
    password.chmod(0o600)
    path = tmp_path / INVENTORY / "group_vars/vpn_gateways.yml"
    write(path, "vpn_gateway_prot: 7777\n")
    vault = [sys.executable, "-m", "ansible", "vault", "encrypt", str(path)]
    vault += ["--vault-password-file", str(password)]
    subprocess.run(vault, check=True, capture_output=True)
    opened = run("--limit", "vb-2", "--vault-password-file", str(password))
    sentence = (
        f"{path}: vpn_gateway_prot: (hidden): no such setting; did you mean vpn_gateway_port?"
    )
    assert sentence in opened.stdout, opened.stdout + opened.stderr
    assert "7777" not in opened.stdout + opened.stderr
    closed = run("--limit", "vb-2")
    assert f"; {path} is encrypted and was not looked into\n" in closed.stdout
