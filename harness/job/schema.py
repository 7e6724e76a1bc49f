"""The grammar of job files as a JSON schema, by which editors complete, explain and check while one types.

pydantic makes it of the models. What these leave to validators - which parts there are, that one value stands for a
list of it - is put in here. `reading` remains the judge: the schema knows no rule between two keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, get_args

from ..theory.losses import LOSSES
from .dirac import DiracJob
from .job import Job
from .parts.features import FEATURES
from .parts.metrics import METRICS
from .parts.networks import NETWORKS
from .parts.noise import NOISES, NoiseOn
from .parts.optimizers import OPTIMIZERS
from .parts.part import Part
from .parts.penalties import PENALTIES
from .parts.problems import PROBLEMS
from .parts.schedules import SCHEDULES
from .strategies import PRUNERS, SAMPLERS
from .tune import TuneJob

Schema = dict[str, Any]

_KINDS: Mapping[str, Mapping[str, type[Part]]] = {
    "Problem": PROBLEMS,
    "Network": NETWORKS,
    "Optimizer": OPTIMIZERS,
    "Penalty": PENALTIES,
    "Noise": NOISES,
    "Metric": METRICS,
    "Features": FEATURES,
}
"""By the name of the base class: what a job names there."""
_NEED_NO_NAME: Final = {"sum", "network"}  # {sum: [r1, r2]}, {network: resnet18, weights: FILE}
_OWN: Schema = {"type": "string", "pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", "description": "your own: module:Name"}
_DIALECT = "http://json-schema.org/draft-07/schema#"  # what editors know


def schema_text() -> str:
    """The schema as the text of a file."""
    return json.dumps(job_schema(), indent=1) + "\n"


def job_schema() -> Schema:
    """The schema of job files of all protocols."""
    parts: Schema = {}
    for grammar in (Job, DiracJob, TuneJob):
        parts |= _with_parts(grammar.__name__, grammar.model_json_schema())
    for base, builtin in _KINDS.items():
        for name, part in builtin.items():
            parts |= _with_parts(_key(base, name), part.model_json_schema())
        parts[base] = _any_of(base, builtin)
    for base, builtin in _KINDS.items():
        for name in builtin:
            given = parts[_key(base, name)]
            if name not in _NEED_NO_NAME:
                given["required"] = ["name", *given.get("required", ())]
    parts["NoiseSchedule"] = {"anyOf": [{"type": "number", "minimum": 0}, *_schedules()]}
    parts["Parameter"] = {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/Range"}]}
    _refine(parts)
    protocols = {"Job": ["probe", "train"], "DiracJob": ["dirac"], "TuneJob": ["tune"]}
    schema = {
        "$schema": _DIALECT,
        "title": "a job file of the GAN noise harness",
        "type": "object",
        "required": ["name", "protocol"],
        "properties": {"protocol": {"enum": [name for names in protocols.values() for name in names]}},
        "allOf": [
            {
                "if": {"properties": {"protocol": {"enum": names}}, "required": ["protocol"]},
                "then": {"$ref": f"#/$defs/{grammar}"},
            }
            for grammar, names in protocols.items()
        ],
        "$defs": dict(sorted(parts.items())),
    }
    plain: Schema = _plain(schema)
    return plain


def _with_parts(name: str, schema: Schema) -> Schema:
    """A model's schema, and those of the models it refers to, by name."""
    others: Schema = schema.pop("$defs", {})
    return {**others, name: schema}


def _key(base: str, name: str) -> str:
    return f"{base}.{name}"


def _any_of(base: str, builtin: Mapping[str, type[Part]]) -> Schema:
    """A name that needs no parameters, a mapping with a name and parameters, or one's own of either."""
    names = {name: part.help() for name, part in builtin.items() if not any(part.parameters().values())}
    mappings = ({"$ref": f"#/$defs/{_key(base, name)}"} for name in builtin)
    return {"anyOf": [*_named(names), *mappings, _own_mapping("name")]}


def _named(names: Mapping[str, str]) -> Iterator[Schema]:
    """One of these names, with what it means, or one's own."""
    yield from ({"const": name, "description": meaning} for name, meaning in names.items())
    yield _OWN


def _own_mapping(key: str) -> Schema:
    return {"type": "object", "required": [key], "properties": {key: _OWN}}


def _schedules() -> Iterator[Schema]:
    """Noise over training time, as a mapping."""
    shared = {"noise": {"$ref": "#/$defs/Noise"}, "noise_on": {"enum": list(get_args(NoiseOn))}}
    for name, part in SCHEDULES.items():
        own = part.model_json_schema()
        parameters = {key: value for key, value in own["properties"].items() if key != "name"}
        yield {
            "type": "object",
            "description": part.help(),
            "properties": {"schedule": {"const": name}, **parameters, **shared},
            "required": ([] if name == "constant" else ["schedule"]) + own.get("required", []),
            "additionalProperties": False,
        }
    yield _own_mapping("schedule")


def _refine(parts: Schema) -> None:
    """Puts in what only the validators of single keys know."""
    losses = {"anyOf": list(_named({name: loss.formula for name, loss in LOSSES.items()}))}
    for name in ("Grid", "DiracGrid", "Space"):
        parts[name]["properties"]["loss"]["items"] = losses
    parts["Reference"]["properties"]["loss"] = losses
    for grammar, grid in (("Job", "Grid"), ("DiracJob", "DiracGrid")):
        parts[grammar]["properties"]["grid"] = _or_one({"type": "array", "items": {"$ref": f"#/$defs/{grid}"}})
    parts["DiracGrid"]["properties"]["updates"]["items"] = {
        "type": "string",
        "pattern": r"^(simultaneous|alternating( [1-9]\d*)?)$",
        "examples": ["simultaneous", "alternating", "alternating 5"],
    }
    space = parts["Space"]["properties"]
    space["noise"]["anyOf"][0]["items"] = {"anyOf": list(_named({name: part.help() for name, part in NOISES.items()}))}
    for name in ("loss", "discriminator_steps", "noise", "noise_on"):
        arrays = [space[name]] if "items" in space[name] else space[name]["anyOf"]
        space[name] = {"anyOf": [option for array in arrays for option in _options(array)]}
    space["schedule"] = _families(SCHEDULES)
    space["penalty"] = _families({name: part for name, part in PENALTIES.items() if name != "sum"})
    space["learning_rate"] = {"$ref": "#/$defs/Parameter"}
    parts["SearchObjective"]["properties"]["minimise"] = {"enum": ["bound", ["bound"], ["bound", "seconds"]]}
    for name, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        parts["Search"]["properties"][name] = {"anyOf": [*_named(known), _own_mapping("name")]}


def _or_one(array: Schema) -> Schema:
    """A list, or one of its items."""
    return {"anyOf": list(_options(array))}


def _options(array: Schema) -> Iterable[Schema]:
    return [array["items"], {**array, "minItems": 1}] if "items" in array else [array]


def _families(builtin: Mapping[str, type[Part]]) -> Schema:
    """Families of a search's space, each with its parameters."""
    parameter = {"$ref": "#/$defs/Parameter"}
    families = {
        name: {
            "type": "object",
            "description": part.help(),
            "properties": dict.fromkeys(part.parameters(), parameter),
            "additionalProperties": False,
        }
        for name, part in builtin.items()
    }
    return {
        "type": "object",
        "minProperties": 1,
        "properties": families,
        "patternProperties": {_OWN["pattern"]: {"type": "object"}},
        "additionalProperties": False,
    }


def _plain(node: Any) -> Any:
    """In the words of the dialect, without titles that repeat the keys and with the first line of each docstring."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _plain(value) for key, value in node.items()}
    if isinstance(found.get("title"), str) and "$schema" not in found:
        del found["title"]
    if isinstance(found.get("description"), str):
        found["description"] = found["description"].splitlines()[0].replace("`", "")
    if found.get("type") == "array" and "minLength" in found:  # of a validator before the one that makes a tuple
        found["minItems"] = found.pop("minLength")
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
    return found
