"""Prove a town's data before any machine is contacted.

Whatever is wrong with the variables, the addresses, the keys and the files of a town is said, all
of it at once, one sentence for each fault. Nothing is changed, and no machine is spoken to.
"""

from __future__ import annotations

from nomade.preflight import files, keys, network, variables
from nomade.preflight.town import Proof, Town

__all__ = ["Proof", "Town", "prove"]


def prove(town: Town) -> Proof:
    """Look at everything, and return all faults."""
    proof = Proof()
    proof.count("hosts", len(town.hosts))
    for look in (files.look, variables.look, network.look, keys.look):
        proof.faults += look(town, proof)
    return proof
