"""How a notice of a job is worded: a site's templates, and ours where it has none. Pure.

Bespin's templates hold texts with ``{{ id }}`` and ``{{ name }}``. Read is the part of their language that is the same
in Jinja: variables, ``{% if %}`` and a few filters. Loops, arithmetic and calls are refused, so that no template takes
long or grows large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jinja2 import Environment, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lando.errors import InputError
from lando.runs import cut_middle

FILTERS = frozenset({"capitalize", "d", "default", "lower", "title", "trim", "truncate", "upper"})
BODY_BYTES = 64 * 1024
SUBJECT_CHARACTERS = 200

_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Filter,
    nodes.Keyword,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
)


@dataclass(frozen=True, kw_only=True)
class Wording:
    """A template's two texts."""

    subject: str
    body: str


_END = """
{{ url }}
"""
BUILT_IN: Mapping[str, Wording] = {
    "job-running-user": Wording(
        subject="Run {{ id }} “{{ name }}” has begun",
        body="Your run {{ id }} “{{ name }}” of {{ workflow }} has begun.\n" + _END,
    ),
    "job-finished-user": Wording(
        subject="Run {{ id }} “{{ name }}” is finished",
        body="Your run {{ id }} “{{ name }}” of {{ workflow }} is finished.\n\n"
        "{% if results %}Its results are at {{ results }}.\n{% endif %}"
        "'lando outputs {{ id }} --download results/' saves them.\n" + _END,
    ),
    "job-cancel-user": Wording(
        subject="Run {{ id }} “{{ name }}” is canceled",
        body="Your run {{ id }} “{{ name }}” of {{ workflow }} is canceled.\n\n"
        "'lando restart {{ id }}' runs it from its beginning.\n" + _END,
    ),
    "job-error-user": Wording(
        subject="Run {{ id }} “{{ name }}” has failed",
        body="Your run {{ id }} “{{ name }}” of {{ workflow }} has failed"
        "{% if step %} at the step {{ step }}{% endif %}.\n\n"
        "{{ cause|default('Why is not known yet.', true) }}\n\n"
        "{% if details %}{{ details }}\n\n{% endif %}"
        "'lando explain {{ id }}' shows what that was read from. When it is mended,\n"
        "'lando restart {{ id }}' goes on at the step that failed.\n" + _END,
    ),
}
"""By the names of Bespin's templates. There is none for share groups: they are told where the site words it."""


def check(text: str) -> None:
    """Raises InputError, with a sentence, for a template that can't be rendered here."""
    _compiled(text)


def render(wording: Wording, variables: Mapping[str, str]) -> Wording:
    """Subject (one line) and body with the variables filled in; raises InputError for a template that can't be."""
    subject, body = (_filled(text, variables) for text in (wording.subject, wording.body))
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in subject).split())
    return Wording(subject=line[:SUBJECT_CHARACTERS], body=cut_middle(body.replace("\0", ""), BODY_BYTES))


def _filled(text: str, variables: Mapping[str, str]) -> str:
    template = _compiled(text)
    try:
        return template.render(variables)
    except Exception as error:  # whatever its author did not think of: nobody else's notices wait for that
        raise InputError(f"The template can't be filled in: {error}.") from error


def _compiled(text: str) -> Template:
    try:
        tree = _ENVIRONMENT.parse(text)
        _refuse_others(tree)
        return _ENVIRONMENT.from_string(tree)
    except TemplateSyntaxError as error:
        raise InputError(f"Line {error.lineno} is no template: {error.message}") from error
    except (TemplateError, SyntaxError, RecursionError, ValueError) as error:
        raise InputError(f"This can't be read as a template: {error}.") from error


def _refuse_others(tree: nodes.Template) -> None:
    """Raises InputError for what is not of the common part."""
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, _ALLOWED) or (isinstance(node, nodes.Filter) and node.name not in FILTERS):
            what = f"the filter {node.name}" if isinstance(node, nodes.Filter) else type(node).__name__
            raise InputError(
                f"Line {node.lineno} holds {what}; a template may hold {{{{ variables }}}}, {{% if %}} and the filters "
                f"{', '.join(sorted(FILTERS))}."
            )


_ENVIRONMENT: Environment = ImmutableSandboxedEnvironment(keep_trailing_newline=True)
