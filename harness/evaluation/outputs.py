"""What discriminators say, as columns of ``training`` and ``cells``."""

from __future__ import annotations

from ..storage.records import Columns, finite
from ..theory.losses import Outputs


def output_columns(outputs: Outputs) -> list[Columns]:
    """The columns of each member."""
    values = {
        "logit_real": outputs.logit_real,
        "logit_fake": outputs.logit_fake,
        "p_real": outputs.p_real,
        "p_fake": outputs.p_fake,
        "d_gradient_real_share": outputs.real_share,
    }
    lists = {name: [None] * len(outputs.logit_real) if of is None else of.tolist() for name, of in values.items()}
    return [
        {name: None if own is None else finite(own) for name, own in zip(lists, member, strict=True)}
        for member in zip(*lists.values(), strict=True)
    ]
