"""The public names of zkinfer as a document, from their docstrings: `python -m zkinfer.cli.reference > docs/api.md`."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import zkinfer
import zkinfer.jobs
from zkinfer import errors

HEAD = """\
# Reference

Every public name, from the docstrings: this page is written by `python -m zkinfer.cli.reference`. Arrays are numpy
arrays of real numbers with samples along the first axis, unless it says otherwise. Every error that is raised on
purpose is a [`ZkinferError`](#errors), and every error of a verifier a `VerificationError`.
"""

MAX_LINE = 100
"""Of a signature; a longer one has a line for each parameter."""


def document() -> str:
    """All of it."""
    parts = [HEAD]
    for title, module in (("zkinfer", zkinfer), ("zkinfer.jobs", zkinfer.jobs)):
        parts.append(f"\n## {title}\n")
        # A name that only stands for another one, and the modules, have no docstring of their own.
        found = {name: getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
        parts += [_entry(name, thing) for name, thing in found.items() if getattr(thing, "__name__", "") == name]
    parts.append("\n## Errors\n\n| error | kind of | meaning |\n|---|---|---|\n")
    parts += [f"| `{e.__name__}` | {_bases(e)} | {_words(_summary(e))} |\n" for e in _errors()]
    return "".join(parts)


def _errors() -> Iterator[type[BaseException]]:
    for thing in vars(errors).values():
        if isinstance(thing, type) and issubclass(thing, BaseException) and thing.__module__ == errors.__name__:
            yield thing


def _bases(error: type[BaseException]) -> str:
    return ", ".join(f"`{base.__name__}`" for base in error.__bases__)


def _summary(thing: Any) -> str:
    """The first paragraph of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n\n")[0]


def _words(text: str) -> str:
    return " ".join(text.split())


def _entry(name: str, thing: Any) -> str:
    """A function or class, with its public methods."""
    text = f"\n### {name}\n\n"
    if not inspect.isclass(thing):
        return text + f"```python\n{_signature(thing)}\n```\n\n{_docstring(thing)}"
    text += _docstring(thing)
    for method, member in vars(thing).items():
        function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if method.startswith("_") or not (inspect.isfunction(function) or isinstance(function, property)):
            continue
        if isinstance(function, property):
            text += f"\n**`{method}`** {_words(_summary(function))}\n"
        else:
            text += f"\n```python\n{_signature(function)}\n```\n\n{_docstring(function)}"
    return text


def _signature(function: Any) -> str:
    """The first line of a function's definition, as its source has it, so that it does not depend on the Python."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef)
    arguments = ast.unparse(definition.args)
    result = "" if definition.returns is None else f" -> {ast.unparse(definition.returns)}"
    line = f"{definition.name}({arguments}){result}"
    if len(line) <= MAX_LINE:
        return line
    parameters = "".join(f"    {part},\n" for part in _parameters(definition.args))
    return f"{definition.name}(\n{parameters}){result}"


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    """Each parameter as it stands in a definition, with the stars between them."""
    positional = arguments.posonlyargs + arguments.args
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    for parameter, default in zip(positional, defaults, strict=True):
        yield _parameter(parameter, default)
    if arguments.vararg is not None:
        yield f"*{ast.unparse(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    for parameter, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(parameter, default)
    if arguments.kwarg is not None:
        yield f"**{ast.unparse(arguments.kwarg)}"


def _parameter(parameter: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return ast.unparse(parameter)
    space = " " if parameter.annotation is not None else ""
    return f"{ast.unparse(parameter)}{space}={space}{ast.unparse(default)}"


def _docstring(thing: Any) -> str:
    """A docstring as Markdown: paragraphs, and a list for each of its sections, such as Args."""
    text = ""
    for block in (inspect.getdoc(thing) or "").split("\n\n"):
        section, _, entries = block.partition("\n")
        if re.fullmatch(r"(Args|Attributes|Returns|Yields|Raises):", section):
            items = re.findall(r"^ {4}(\S.*(?:\n {8,}.*)*)", entries, re.M)
            text += f"{section}\n\n" + "".join(f"* {_item(item)}\n" for item in items) + "\n"
        else:
            text += f"{_words(block)}\n\n" if not block.startswith(" ") else f"```\n{textwrap.dedent(block)}\n```\n\n"
    return text.rstrip("\n") + "\n"


def _item(text: str) -> str:
    """An entry of a section, with the names that it is about as code."""
    names, colon, rest = _words(text).partition(": ")
    if colon and re.fullmatch(r"[\w.]+(, [\w.]+)*", names):
        names = ", ".join(f"`{name}`" for name in names.split(", "))
    return f"{names}{colon}{rest}"


if __name__ == "__main__":
    print(document(), end="")
