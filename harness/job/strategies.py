"""How a search goes about it: samplers and pruners by name, or ``package.module:name`` of one's own, with options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from .extensions import resolve

SAMPLERS: Mapping[str, str] = {
    "tpe": "tree-structured Parzen estimator; parameters that occur together are modelled together",
    "gp": "Gaussian process; draws parameters at random that only one of several families has",
    "cmaes": "covariance matrix adaptation; one objective, and as gp with families",
    "random": "independent draws",
    "grid": "search.points values of every range",
}
PRUNERS: Mapping[str, str] = {
    "median": "prunes a trial whose report is above the median of those before it",
    "halving": "keeps the better half at each report",
    "none": "prunes nothing",
}


@dataclass(frozen=True)
class WithOptions:
    """A sampler or pruner of one's own and what it is called with: ``{name: package.module:name, option: 3}``."""

    name: str
    options: Mapping[str, Any]


def name_and_options(strategy: str | WithOptions) -> tuple[str, Mapping[str, Any]]:
    """The name of a sampler or pruner, and its keyword arguments."""
    return (strategy.name, strategy.options) if isinstance(strategy, WithOptions) else (strategy, {})


def _reader(kind: str, builtin: Mapping[str, str]) -> Callable[[Any], str | WithOptions]:
    """Reads a name or a mapping with a name, whose object must be there and callable."""

    def read(value: Any) -> str | WithOptions:
        if isinstance(value, WithOptions):
            return value
        options = dict(value) if isinstance(value, Mapping) else {}
        name = options.pop("name", None) if isinstance(value, Mapping) else value
        if not isinstance(name, str):
            raise ValueError(f"must be the name of a {kind}, or a mapping with its name and options, got {value!r}")
        found = resolve(name, dict.fromkeys(builtin), kind=kind)
        if name in builtin:
            if options:
                wanted = ", ".join(options)
                raise ValueError(f"{kind} {name} takes no options, got {wanted}; write package.module:name of your own")
            return name
        if not callable(found):
            raise ValueError(f"{kind} '{name}' is a {type(found).__name__}; it must be callable and make a {kind}")
        if kind == "sampler" and "seed" in options:
            raise ValueError("a sampler is given its seed by the search; set search.seed")
        return WithOptions(name, options) if options else name

    return read


def _plain(strategy: str | WithOptions) -> Any:
    """As a job file has it."""
    return {"name": strategy.name, **strategy.options} if isinstance(strategy, WithOptions) else strategy


Sampler = Annotated[str | WithOptions, PlainValidator(_reader("sampler", SAMPLERS)), PlainSerializer(_plain)]
Pruner = Annotated[str | WithOptions, PlainValidator(_reader("pruner", PRUNERS)), PlainSerializer(_plain)]
