"""Label selectors as Kubernetes defines them (meta/v1 LabelSelector): all requirements must hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lineward.domain.fields import Reader

MAX_REQUIREMENTS = 64


class Operator(StrEnum):
    """Operators of `matchExpressions`."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels meet the condition; `NotIn` holds where the label is missing."""
        if self.operator is Operator.IN:
            return self.key in labels and labels[self.key] in self.values
        if self.operator is Operator.NOT_IN:
            return self.key not in labels or labels[self.key] not in self.values
        return (self.key in labels) is (self.operator is Operator.EXISTS)


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector; without requirements it matches everything, as in Kubernetes."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether all requirements hold."""
        return all(requirement.holds(labels) for requirement in self.requirements)


EVERYTHING = Selector()


def parse(raw: Reader) -> Selector:
    """Parse `{matchLabels, matchExpressions}`. Raises InvalidInputError with the reader's reason."""
    labels = raw.pairs("matchLabels", cap=MAX_REQUIREMENTS)
    exact = tuple(Requirement(key, Operator.IN, frozenset([value])) for key, value in labels.items())
    expressions = tuple(_expression(item) for item in raw.objects("matchExpressions", cap=MAX_REQUIREMENTS))
    raw.done()
    return Selector(exact + expressions)


def _expression(raw: Reader) -> Requirement:
    read = Requirement(
        key=raw.text("key", cap=317),
        operator=raw.choice("operator", Operator),
        values=frozenset(raw.texts("values", length=63)),
    )
    if bool(read.values) is not (read.operator in {Operator.IN, Operator.NOT_IN}):
        raw.fail("must have values for In and NotIn, and none otherwise")
    raw.done()
    return read
