"""What one process is asked to lay out: a wave, as JSON on its standard input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nomade.handout_page import Sheet, Town

REFUSED = 3  # exit code of a process that says in sentences why it can't do its job


@dataclass(frozen=True, slots=True)
class Job:
    """A wave: the sheets that are in it, and which of its files are wanted."""

    templates: str
    directory: str
    town: Town
    wave: str
    wave_file: str
    sheets: Sequence[Sheet]
    wanted: Sequence[str]  # names of PDF files: those of sheets, that of the wave


def encoded(job: Job) -> str:
    """Return a job as JSON."""
    return json.dumps(asdict(job))


def decoded(text: str) -> Job:
    """Return the job that a JSON document holds."""
    job: dict[str, Any] = json.loads(text)
    job["town"] = Town(**job["town"])
    job["sheets"] = [Sheet(**sheet) for sheet in job["sheets"]]
    return Job(**job)
