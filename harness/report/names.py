"""How columns are called in a report."""

from __future__ import annotations

_WORDS = {
    "w1": "W1",
    "w1_sliced": "sliced W1",
    "w1_minus_floor": "W1 above the floor",
    "w1_sliced_minus_floor": "sliced W1 above the floor",
    "bound_best": "bound, best sigma",
    "bound_sliced_best": "sliced bound, best sigma",
    "bound_paper": "bound at own sigma",
    "jsd_mixture": "JSD",
    "jsd_discriminator": "JSD by the discriminator",
    "tv": "TV",
    "grad_norm": "gradient norm",
    "schedule": "noise",
    "cell_id": "cell",
}


def words(name: str) -> str:
    """A column's name for a person."""
    return _WORDS.get(name, name if "(" in name else name.replace("_", " "))
