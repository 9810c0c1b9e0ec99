"""What pydantic finds, said in sentences that name the field, its bound and its value."""

from collections.abc import Mapping, Sequence

from ledger.errors import InvalidValueError

_SHOWN_MAX = 5
_NAME_CHARS_MAX = 60

# Our own validators raise ValueError with the bound as their whole text.
_OWN = "value_error"
_WHOLE = ((), ("query",))
_BOUNDS = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_parsing_size": "an integer of at most 64 bits",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_long": "at most {max_length} entries",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "enum": "one of {expected}",
    "uuid_parsing": "a UUID",
    _OWN: "{error}",
}


def sentence_of(problems: Sequence[Mapping[str, object]]) -> str:
    """Return one sentence for the first few problems, as `errors()` of a ValidationError lists them."""
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    sentences = [_sentence(problem) for problem in problems if problem["type"] != "extra_forbidden"]
    if unknown:
        sentences.append(_unknown_fields(unknown))
    shown = "; ".join(sentences[:_SHOWN_MAX])
    return shown if len(sentences) <= _SHOWN_MAX else f"{shown}; and {len(sentences) - _SHOWN_MAX} more"


def field_of(problem: Mapping[str, object]) -> str | None:
    """Return the name of the field that a problem is about; None where it is about the whole."""
    return _field(problem) if problem["loc"] else None


def _sentence(problem: Mapping[str, object]) -> str:
    kind = str(problem["type"])
    context = problem.get("ctx")
    facts = context if isinstance(context, Mapping) else {}
    field = _field(problem)
    if kind == "json_invalid":
        return f"invalid JSON: {facts.get('error')}"
    if kind in ("model_type", "model_attributes_type"):
        return "it must be a JSON object"
    if kind == "missing":
        return f"{field} is required"
    if kind == _OWN and problem["loc"] in _WHOLE:
        return str(facts.get("error"))
    bound = _BOUNDS.get(kind)
    if bound is None:
        return f"{field}: {problem['msg']}"
    return str(InvalidValueError(field=field, bound=bound.format(**facts), value=problem["input"]))


def _unknown_fields(problems: Sequence[Mapping[str, object]]) -> str:
    names = ", ".join(_field(problem) for problem in problems[:_SHOWN_MAX])
    more = "" if len(problems) <= _SHOWN_MAX else f" and {len(problems) - _SHOWN_MAX} more"
    return f"unknown {'field' if len(problems) == 1 else 'fields'}: {names}{more}"


def _field(problem: Mapping[str, object]) -> str:
    location = problem["loc"]
    if not isinstance(location, tuple) or not location:
        return "it"
    # FastAPI puts where it looked ("query", "path") before the name.
    inside = location[1:] if location[0] in ("query", "path") and len(location) > 1 else location
    name = ".".join(str(part) for part in inside)
    return name if len(name) <= _NAME_CHARS_MAX else f"{name[:_NAME_CHARS_MAX]}…"
