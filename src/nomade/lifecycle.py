"""A machine's life: which state may follow which, and what the register then forgets."""

from __future__ import annotations

from nomade.i18n import tr

# From each state, those that may follow and the command (fleet ...) that writes each of them.
MAY_BECOME: dict[str, dict[str, str]] = {
    "recovered": {
        "stock": "stock",
        "quarantined": "quarantine",
        "lost": "lose",
        "retired": "retire",
    },
    "stock": {
        "assigned": "assign",
        "quarantined": "quarantine",
        "lost": "lose",
        "retired": "retire",
    },
    "assigned": {"returned": "return", "quarantined": "quarantine", "lost": "lose"},
    "returned": {
        "stock": "stock",
        "quarantined": "quarantine",
        "lost": "lose",
        "retired": "retire",
    },
    "quarantined": {
        "stock": "stock",
        "returned": "return",
        "lost": "lose",
        "retired": "retire",
    },
    "lost": {"returned": "return", "retired": "retire"},
    "retired": {},
}
PERSON = ("assignee_login", "assignee_name", "assignee_email", "department", "extension", "wave")


def forgets_person(old: str, new: str) -> bool:
    """Say whether the person's cells are emptied: who had it stands in git, not in the stock.

    A machine that is back, lost or under suspicion keeps them: it may still hold that person's
    data, and the person waits for another one. A recovered one never was anybody's: its wave is
    a plan.
    """
    return new in {"stock", "retired"} and old not in {"recovered", "stock", new}


def refusal(tag: str, old: str, new: str) -> tuple[str, str]:
    """Return why a machine can't come from one state into another, and what to do instead."""
    problem = tr(f"{tag} can't become {new} from there", f"{tag} ne peut pas passer de là à {new}")
    if new == "assigned":
        return problem, _before_assigning(tag)[old]
    if not MAY_BECOME[old]:
        return problem, tr(
            "this is the end; if it was written by mistake, correct the line by hand",
            "c'est la fin ; si c'était une erreur, corriger la ligne à la main",
        )
    ways = ", ".join(f"{to} (fleet {command} {tag})" for to, command in MAY_BECOME[old].items())
    return problem, tr(f"what may follow: {ways}", f"ce qui peut suivre : {ways}")


def _before_assigning(tag: str) -> dict[str, str]:
    return {
        "recovered": tr(
            f"adopt or rebuild it, then type: fleet stock {tag}; or take another: fleet next",
            f"l'adopter ou la réinstaller, puis taper : fleet stock {tag} ; ou en prendre une "
            "autre : fleet next",
        ),
        "assigned": tr(
            f"it is somebody's: type fleet return {tag} first, or take another: fleet next",
            f"elle est à quelqu'un : taper d'abord fleet return {tag}, ou en prendre une autre : "
            "fleet next",
        ),
        "returned": tr(
            f"finish its return first: ansible-playbook playbooks/return.yml -e asset={tag}",
            f"finir d'abord son retour : ansible-playbook playbooks/return.yml -e asset={tag}",
        ),
        "quarantined": tr(
            f"rebuild it first: ansible-playbook playbooks/rebuild.yml -e asset={tag}",
            f"la réinstaller d'abord : ansible-playbook playbooks/rebuild.yml -e asset={tag}",
        ),
        "lost": tr(
            f"if it was found, type fleet return {tag} first",
            f"si elle est retrouvée, taper d'abord fleet return {tag}",
        ),
        "retired": tr("take another: fleet next", "en prendre une autre : fleet next"),
    }
