"""What all named parts of a job have in common: a name, built in or a user's own, and a class behind it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import ValidationError, model_validator

from ...errors import suggest
from ...identity import canonical_json
from ..extensions import is_own, resolve, source_digest
from ..spec import WHOLE, InnerError, MistakesError, Spec


class Part(Spec):
    """A part that a job names: built in, or a user's own as ``package.module:Name``.

    A class says what its parameters are and how far they may go (its fields), what it means (its docstring), and what
    it does (its methods). Those import torch and the theory, so that a job can be checked without loading either.
    """

    kind: ClassVar[str] = "part"
    """What messages call it."""

    name: str = ""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """A user's own class need not say its name."""
        if isinstance(value, dict) and not value.get("name") and not cls.model_fields["name"].default:
            return {**value, "name": f"{cls.__module__}:{cls.__qualname__}"}
        return value

    @functools.cached_property
    def canonical(self) -> str:
        """As of all parts; of a user's own with a hash of its source."""
        return canonical_json(self.with_source(self.model_dump(mode="json")))

    @property
    def label(self) -> str:
        """What rows call it: the name, with the parameters that are not their defaults."""
        return self.labelled(self.name)

    def labelled(self, name: str, *, leave_out: Collection[str] = ()) -> str:
        """A name, with the parameters that are not their defaults, but for some."""
        fields = type(self).model_fields
        given = [
            f"{key}={getattr(self, key)}"
            for key in fields
            if key not in ("name", *leave_out)
            and getattr(self, key) != fields[key].get_default(call_default_factory=True)
        ]
        return f"{name}({', '.join(given)})" if given else name

    def with_source(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values of an identity, and for a user's own the hash of its source."""
        return {**values, "source": source_digest(self.name)} if is_own(self.name) else values

    @classmethod
    def undefined(cls) -> list[str]:
        """Methods that a class of this kind must define, and this one does not."""
        return sorted(cls.__abstractmethods__)

    @classmethod
    def parameters(cls) -> dict[str, bool]:
        """Names of the parameters, and whether each must be given."""
        return {name: field.is_required() for name, field in cls.model_fields.items() if name != "name"}

    @classmethod
    def counts(cls) -> set[str]:
        """Names of the parameters that are whole numbers."""
        return {name for name, field in cls.model_fields.items() if field.annotation is int or WHOLE in field.metadata}

    @classmethod
    def help(cls) -> str:
        """The first sentence of the docstring, and the parameters with their defaults."""
        text = (inspect.getdoc(cls) or "").splitlines()[0].replace("`", "")
        defaults = [
            name if field.is_required() else f"{name} {field.get_default(call_default_factory=True)}"
            for name, field in cls.model_fields.items()
            if name != "name"
        ]
        return f"{text} ({', '.join(defaults)})" if defaults else text


P = TypeVar("P", bound=Part)


def find_class(name: str, base: type[P], builtin: Mapping[str, type[P]]) -> type[P]:
    """The class of this name, built in or ``package.module:Name``.

    Raises:
      ValueError: If there is none.
    """
    return _class_of(resolve(name, builtin, kind=base.kind), name, base)


def chooser(
    base: type[P], builtin: Mapping[str, type[P]], *, of_function: type[P] | None = None
) -> Callable[[Any], Any]:
    """A validator that makes the part which a job names: from a name, a mapping with a name, or a part as it is.

    Args:
      base: Of all parts of the kind.
      builtin: Their names.
      of_function: What a plain function of a user becomes, where the kind allows one.
    """

    def choose(value: Any) -> Any:
        if isinstance(value, base):
            return value
        given = {"name": value} if isinstance(value, str) else value
        if not isinstance(given, Mapping):
            raise ValueError(f"must be the name of a {base.kind}, or a mapping with its name; got {value!r}")
        name = given.get("name")
        if name is None:
            for only, own in given.items():
                if len(given) == 1 and only in builtin and isinstance(own, Mapping):
                    inner = "".join(f", {key}: {item}" for key, item in own.items())
                    raise ValueError(f"needs a name: write {{name: {only}{inner}}}")
            raise ValueError(f"needs a name.{suggest('', builtin)}, or package.module:Name")
        if not isinstance(name, str):
            raise MistakesError([(("name",), f"unknown {base.kind} {name!r}.{suggest(name, builtin)}")])
        try:
            found: Any = resolve(name, builtin, kind=base.kind)
            is_function = of_function is not None and callable(found) and not isinstance(found, type)
            grammar = of_function if is_function and of_function else _class_of(found, name, base)
        except ValueError as error:
            raise MistakesError([(("name",) if given is value else (), str(error))]) from error
        return validated(grammar, dict(given))

    return choose


def validated(grammar: type[P], values: dict[str, Any]) -> P:
    """A part from its values; pydantic's errors as an `InnerError`, which keeps their places."""
    try:
        return grammar.model_validate(values)
    except ValidationError as error:
        raise InnerError(error.errors(), grammar) from error


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _class_of(found: Any, name: str, base: type[P]) -> type[P]:
    if not (isinstance(found, type) and issubclass(found, base)) or found is base:
        raise ValueError(
            f"'{name}' is no {base.kind}; it must be a class derived from {base.__module__}.{base.__qualname__}"
        )
    if missing := found.undefined():
        raise ValueError(
            f"'{name}' has no {' and no '.join(missing)}; {_article(base.kind)} {base.kind} must; see docs/extending.md"
        )
    return found
