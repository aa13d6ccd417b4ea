"""The audit of a dataset: leaks, near duplicates, constant films, attribute shortcuts; `python -m data.audit`."""

from data.audit.leaks import (
    AuditReport,
    DuplicateGroup,
    SharedName,
    audit,
    pixel_digests,
    refuse_leaks,
    refuse_shared,
)

__all__ = [
    "AuditReport",
    "DuplicateGroup",
    "SharedName",
    "audit",
    "pixel_digests",
    "refuse_leaks",
    "refuse_shared",
]
