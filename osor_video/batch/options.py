"""What a job can say: the options of ``remove``, read from the command itself, so that there is no second list of them."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from osor_video.errors import ConfigError

NOT_A_JOBS = ("preview", "resume", "restart", "quiet", "threads")
"""Options that say how a command runs; the batch decides about them."""
CLIP, OUTPUT = "source", "output"
RESULTS = "{out}"
"""Begins a file of a job that is to lie among the results."""
AT_FRAME = re.compile(r"(\d+)=(.+)", re.DOTALL)


@dataclass(frozen=True)
class Option:
    """One option of ``remove``: its name in the code, the names a job may give it, and what it takes.

    ``place``: "file" where it is always one, "name or file" where it may be one, else empty.
    """

    name: str
    spellings: tuple[str, ...]
    kind: Any
    default: Any
    place: str

    @property
    def many(self) -> bool:
        """Whether it can be given several times."""
        return any(get_origin(part) is list for part in (self.kind, *get_args(self.kind)))

    @property
    def text(self) -> bool:
        """Whether it takes one text."""
        return str in (self.kind, *get_args(self.kind))


@cache
def options() -> Mapping[str, Option]:
    """Every option of a job, by each of its spellings."""
    from osor_video.apps.cli import remove  # noqa: PLC0415  (the command line imports this package's commands)

    hints = get_type_hints(remove, include_extras=True)
    found: dict[str, Option] = {}
    for name, parameter in inspect.signature(remove).parameters.items():
        kind, info = get_args(hints[name])
        # Within Annotated typer keeps the first name of an option as its default.
        declared = [text for text in (info.default, *(info.param_decls or ())) if str(text).startswith("--")]
        spelled = {name, *(text.lstrip("-").replace("-", "_") for text in declared)}
        spelled |= {"clip"} if name == CLIP else set()
        default = None if parameter.default is inspect.Parameter.empty else parameter.default
        place = _place(kind, info.metavar or "")
        option = Option(name, tuple(sorted(spelled)), kind, default, "" if name == OUTPUT else place)
        found |= dict.fromkeys(spelled, option)
    return found


def named(key: str, where: str) -> Option:
    """The option that a job calls ``key``; ConfigError where a job has none of that name."""
    option = options().get(key.strip().lstrip("-").replace("-", "_"))
    if option is None or option.name in NOT_A_JOBS:
        known = sorted({min(each.spellings, key=len) for each in options().values()} - {*NOT_A_JOBS})
        raise ConfigError(
            f"{where} has {key!r}, which is no option of a job. Expected clip and options of remove: {', '.join(known)}."
        )
    return option


def value_of(option: Option, value: Any, where: str) -> Any:
    """``value`` as the command line would have it; ConfigError where it cannot be that.

    A lone value stands for a list of one, [40, 60, 80, 150] for 40,60,80,150, and settings may be a mapping.
    """
    if option.name == "settings" and isinstance(value, Mapping):
        value = [f"{key}={json.dumps(item)}" for key, item in value.items()]
    if option.many:
        listed = value if isinstance(value, list | tuple) else [value]
        value = [str(item) for item in listed]
    elif option.text and value is not None:
        value = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    try:
        return TypeAdapter(option.kind).validate_python(value)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise ConfigError(f"{where} has {option.name}: {value!r}, which does not fit: {reason}.") from error


def placed(option: Option, value: Any, home: Path) -> Any:
    """``value`` with its files in ``home``, unless they are absolute; ``45=fix.png`` keeps its frame."""
    if not option.place or value is None or str(value).startswith(RESULTS):
        return value
    if isinstance(value, list | tuple):
        return type(value)(placed(option, item, home) for item in value)
    match = AT_FRAME.fullmatch(str(value))
    before, text = (f"{match[1]}=", match[2]) if match else ("", str(value))
    path = home / text
    if option.place == "name or file" and not path.exists():
        return value
    return path if isinstance(value, Path) else f"{before}{path}"


def _place(kind: Any, metavar: str) -> str:
    parts = (kind, *get_args(kind), *(inner for part in get_args(kind) for inner in get_args(part)))
    if Path in parts or metavar.endswith("FILE"):
        return "file"
    return "name or file" if "PATH" in metavar else ""
