"""The first contact with a machine: whose host key it shows, and how a technician gets in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nomade.hostkeys import HostKey
from nomade.i18n import tr

# Read-only, in any POSIX shell, without Python: what the way in allows.
PROBE = r"""
echo "uid=$(id -u)"
echo "groups=$(id -Gn)"
PATH=$PATH:/usr/sbin:/sbin
for program in sudo su python3 apt-get; do echo "$program=$(command -v $program)"; done
if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    echo "sudo_without_password=yes"
fi
cat /etc/os-release
"""
_SUDO_GROUPS = frozenset({"sudo", "wheel", "admin"})


class ContactError(Exception):
    """The machine can't be met; the message is one sentence with the remedy."""


def choose_key(
    asset: str,
    address: str,
    shown: Sequence[HostKey],
    pinned: Sequence[HostKey],
    expected: str = "",
    known_hosts: str = "known_hosts",
) -> HostKey:
    """Return the host key to go by, or refuse a machine that shows another than it should."""
    if expected:
        wanted = "SHA256:" + expected.removeprefix("SHA256:").rstrip("=")
        matching = [key for key in shown if key.fingerprint == wanted]
        if not matching:
            raise ContactError(
                tr(
                    f"{asset}: {address} doesn't show the host key {wanted} but {_list(shown)}: "
                    "nothing was changed on it; compare with what its own screen says "
                    "(enrol.sh), and check the address.",
                    f"{asset} : {address} ne montre pas la clé d'hôte {wanted} mais "
                    f"{_list(shown)} : rien n'y a été changé ; comparez avec ce que dit son écran "
                    "(enrol.sh), et vérifiez l'adresse.",
                )
            )
        shown = matching
    if not pinned:
        return shown[0]
    for key in shown:
        if key in pinned:
            return key
    raise ContactError(
        tr(
            f"{asset}: {address} shows the host key {_list(shown)}, but {_list(pinned)} is pinned "
            f"for {asset}: nothing was changed on it; check the address, or, if the machine was "
            f"reinstalled, forget the old key: ssh-keygen -R {asset} -f {known_hosts}",
            f"{asset} : {address} montre la clé d'hôte {_list(shown)}, mais {_list(pinned)} est "
            f"enregistrée pour {asset} : rien n'y a été changé ; vérifiez l'adresse, ou, si la "
            "machine a été réinstallée, oubliez l'ancienne clé : "
            f"ssh-keygen -R {asset} -f {known_hosts}",
        )
    )


def _list(keys: Sequence[HostKey]) -> str:
    return ", ".join(key.fingerprint for key in keys)


@dataclass(frozen=True)
class WayIn:
    """An account that lets us in, and how it becomes root."""

    user: str
    become: bool
    become_method: str
    python: bool
    os_id: str
    os_version_id: str


def parse_probe(text: str) -> dict[str, str]:
    """Return what the probe printed, by name."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value.strip().strip('"') for name, sep, value in pairs if sep}


def way_in(asset: str, user: str, probe: str, *, has_become_password: bool, method: str) -> WayIn:
    """Decide how this account becomes root; refuse where it can't."""
    found = parse_probe(probe)
    root = found.get("uid") == "0"
    if not root and not method:
        in_sudo_group = bool(_SUDO_GROUPS & set(found.get("groups", "").split()))
        without_password = found.get("sudo_without_password") == "yes"
        can_sudo = bool(found.get("sudo")) and (without_password or in_sudo_group)
        method = "sudo" if can_sudo else "su"
        if not without_password and not has_become_password:
            raise ContactError(_needs_password(asset, user, method))
    if found.get("ID") != "debian" and "debian" not in found.get("ID_LIKE", "").split():
        name = found.get("PRETTY_NAME") or "?"
        raise ContactError(
            tr(
                f"{asset}: this machine runs {name}, and only Debian can be enrolled: rebuild it "
                "(docs/operate.md).",
                f"{asset} : cette machine est sous {name}, et seule une Debian s'enrôle : "
                "réinstallez-la (docs/operate.fr.md).",
            )
        )
    return WayIn(
        user=user,
        become=not root,
        become_method=method or "sudo",
        python=bool(found.get("python3")),
        os_id=found.get("ID", ""),
        os_version_id=found.get("VERSION_ID", ""),
    )


def _needs_password(asset: str, user: str, method: str) -> str:
    if method == "sudo":
        return tr(
            f"{asset}: {user} needs a password for sudo: add --ask-become-pass and type {user}'s.",
            f"{asset} : {user} a besoin d'un mot de passe pour sudo : ajoutez --ask-become-pass et "
            f"tapez celui de {user}.",
        )
    return tr(
        f"{asset}: {user} may not use sudo: add --ask-become-pass and type root's password (su).",
        f"{asset} : {user} n'a pas droit à sudo : ajoutez --ask-become-pass et tapez le mot de "
        "passe de root (su).",
    )


def plan(
    asset: str, address: str, key: HostKey, way: WayIn, *, pinned: bool, expected: bool
) -> list[str]:
    """Say how the machine was met and what is about to happen."""
    if pinned:
        trust = tr("as pinned", "celle enregistrée")
    elif expected:
        trust = tr("as given", "celle donnée")
    else:
        trust = tr(
            "seen for the first time: compare it with the machine's screen",
            "vue pour la première fois : comparez-la avec l'écran de la machine",
        )
    root = f"{way.user}, {way.become_method}" if way.become else way.user
    return [
        tr(
            f"{asset}: {address} shows the host key {key.fingerprint} ({trust})",
            f"{asset} : {address} montre la clé d'hôte {key.fingerprint} ({trust})",
        ),
        tr(
            f"{asset}: entering as {root}; nothing is changed before it is compared with the "
            "register and others' ways in are listed",
            f"{asset} : entrée par {root} ; rien n'est changé avant qu'elle soit comparée avec le "
            "registre et que les accès d'autrui soient listés",
        ),
    ]


def no_address(asset: str) -> str:
    """Say that nobody said where the machine is."""
    return tr(
        f"{asset}: where is it? add -e address=ADDRESS (its screen says it after enrol.sh), or "
        "write management_address into the register.",
        f"{asset} : où est-elle ? ajoutez -e address=ADRESSE (son écran la dit après enrol.sh), ou "
        "écrivez management_address dans le registre.",
    )


def no_own_key(asset: str, account: str) -> str:
    """Say that the keys are installed and this technician has none of them."""
    return tr(
        f"{asset}: {account} has the technicians' keys now, but none that you hold opens it: add "
        "your public key to workstation_technicians, or load your key (ssh-add), and run this "
        "again.",
        f"{asset} : {account} a maintenant les clés des techniciens, mais aucune des vôtres ne "
        "l'ouvre : ajoutez votre clé publique à workstation_technicians, ou chargez votre clé "
        "(ssh-add), et relancez.",
    )


def no_answer(asset: str, address: str, port: int, said: str) -> str:
    """Say that nothing speaks SSH at the address."""
    return tr(
        f"{asset}: no SSH server answers at {address} port {port} ({said}): check the cable and "
        "the address, or type the stick's line at the machine's keyboard: "
        f"sh /media/usb/enrol.sh {asset}",
        f"{asset} : aucun serveur SSH ne répond à {address} port {port} ({said}) : vérifiez le "
        "câble et l'adresse, ou tapez la ligne de la clé USB au clavier de la machine : "
        f"sh /media/usb/enrol.sh {asset}",
    )


def no_way_in(asset: str, address: str, account: str, user: str, *, has_password: bool) -> str:
    """Say that nobody lets us in."""
    if user:
        means = tr("this password", "ce mot de passe") if has_password else tr("a key", "une clé")
        return tr(
            f"{asset}: {address} lets in neither {account} by key nor {user} with {means}: check "
            "the account (-u) and the password, or type the stick's line at the machine's "
            f"keyboard: sh /media/usb/enrol.sh {asset}",
            f"{asset} : {address} n'accepte ni {account} par clé, ni {user} avec {means} : "
            "vérifiez le compte (-u) et le mot de passe, ou tapez la ligne de la clé USB au "
            f"clavier de la machine : sh /media/usb/enrol.sh {asset}",
        )
    return tr(
        f"{asset}: {address} doesn't let {account} in by key: give an account that it knows, "
        "-u ACCOUNT --ask-pass --ask-become-pass, or type the stick's line at the machine's "
        f"keyboard: sh /media/usb/enrol.sh {asset}",
        f"{asset} : {address} n'accepte pas {account} par clé : donnez un compte qu'elle connaît, "
        "-u COMPTE --ask-pass --ask-become-pass, ou tapez la ligne de la clé USB au clavier de la "
        f"machine : sh /media/usb/enrol.sh {asset}",
    )
