"""Executors: what runs packs. `serial` in this process, `ray` on the actors of a cluster."""
