"""Which words a label becomes: the prompt that names its findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthworth.errors import UserError

PROMPT, PROMPT_NONE = "a chest X-ray with {findings}", "a chest X-ray with no finding"
NOTHING_FOUND = {"no finding", "no findings", "normal", "healthy"}
"""Names of classes that say that there is nothing to see; they are no finding to put into a prompt."""


def prompt_of(label: Any, classes: Sequence[str], *, prompt: str, prompt_none: str) -> str:
    """The prompt of a label.

    Parameters
    ----------
    label : a number, or a label vector, uint8 (K,); numpy's.
    prompt : {findings} in it becomes the names of the findings, as in "effusion and mass".
    prompt_none : of a film without a finding.
    """
    present = [classes[int(label)]] if label.ndim == 0 else [c for c, y in zip(classes, label, strict=True) if y]
    names = [plain_name(c) for c in present if plain_name(c) not in NOTHING_FOUND]
    if not names:
        return prompt_none
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return prompt.format(findings=listed)


def require_template(prompt: str) -> None:
    """Refuse a prompt that does not say where the findings go, or that holds another field in braces.

    Raises
    ------
    UserError
        For such a prompt.
    """
    if "{findings}" not in prompt:
        raise UserError(f"the prompt {prompt!r} does not say where the {{findings}} go")
    try:
        prompt.format(findings="")
    except (LookupError, ValueError, AttributeError) as error:
        raise UserError(
            f"the prompt {prompt!r} has braces other than {{findings}}; write other braces twice"
        ) from error


def plain_name(name: str) -> str:
    """A class as prose: `Pleural_Thickening` is "pleural thickening"."""
    return name.replace("_", " ").strip().lower()
