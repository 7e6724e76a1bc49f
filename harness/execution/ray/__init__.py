"""Running packs on a Ray cluster, and handing whole jobs to one. The only ``import ray``."""
