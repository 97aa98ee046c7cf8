"""`http-service-client completion bash|zsh|fish`: a script that completes commands, options and their values.

It is made from the parsers, and has all names in it: a press of the tab key starts no Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import NamedTuple, TextIO

__all__ = ["declare", "run"]

_PROGRAM = "http-service-client"
_FUNCTION = "_http_service_client"

_DESCRIPTION = """\
Print a script that lets the tab key complete the commands, options and values of http-service-client."""

_HOW = """\
bash:  source <(http-service-client completion bash)                       in ~/.bashrc
zsh:   source <(http-service-client completion zsh)                        in ~/.zshrc, after compinit
fish:  http-service-client completion fish | source                        in ~/.config/fish/config.fish"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the argument."""
    parser.description, parser.epilog = _DESCRIPTION, _HOW
    parser.add_argument("shell", choices=sorted(_SCRIPTS), help="that will read it")


def run(arguments: argparse.Namespace, output: TextIO, errors: TextIO) -> int:
    """Print the script; the exit code: 0."""
    from . import COMMANDS, build_parser

    output.write(_SCRIPTS[arguments.shell](_read(build_parser(*COMMANDS))))
    return 0


class _Option(NamedTuple):
    """names: such as -o and --output.   takes: "" for a flag, "file", "choice" or "text"."""

    names: list[str]
    takes: str
    choices: list[str]
    help: str


class _Command(NamedTuple):
    """positional: what its arguments are: "file", "choice" or "text"."""

    name: str
    help: str
    options: list[_Option]
    positional: str
    choices: list[str]


def _read(parser: argparse.ArgumentParser) -> list[_Command]:
    """The commands with their options, from argparse's own lists."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {action.dest: action.help or "" for action in commands._choices_actions}
    found = []
    for name, subparser in commands.choices.items():
        shown = [action for action in subparser._actions if action.help != argparse.SUPPRESS]
        options = [
            _Option(list(action.option_strings), *_values(action), _plain(action.help))
            for action in shown
            if action.option_strings
        ]
        positional = next((_values(action) for action in shown if not action.option_strings), ("text", []))
        found.append(_Command(name, helps[name], options, *positional))
    return found


def _values(action: argparse.Action) -> tuple[str, list[str]]:
    """What a value of the option, or a positional argument, is."""
    if action.nargs == 0:
        return "", []
    if action.choices is not None:
        return "choice", [str(choice) for choice in action.choices]
    named = action.metavar if isinstance(action.metavar, str) else action.dest
    takes_file = named.lower() == "file" or "@FILE" in (action.help or "")
    return "file" if takes_file else "text", []


def _plain(text: str | None) -> str:
    """Help in one line that no shell finds anything in."""
    return "".join(each for each in (text or "") if each not in "'\"`$\\[]:").strip()


def _alike(commands: list[_Command]) -> Iterator[list[_Command]]:
    """The commands, those with the same arguments together."""
    groups: dict[str, list[_Command]] = {}
    for command in commands:
        groups.setdefault(repr(command[2:]), []).append(command)
    yield from groups.values()


def _bash(commands: list[_Command]) -> str:
    names = " ".join(command.name for command in commands)
    cases = []
    for group in _alike(commands):
        first = group[0]
        words = " ".join(name for option in first.options for name in option.names)
        values = []
        for takes, reply in (("choice", ""), ("file", " _http_service_client_files"), ("text", " :")):
            for option in first.options:
                if option.takes == takes:
                    reply_of = reply or f' COMPREPLY=($(compgen -W "{" ".join(option.choices)}" -- "$cur"))'
                    values.append(f"        {'|'.join(option.names)}){reply_of}; return ;;")
        positional = {
            "choice": f'COMPREPLY=($(compgen -W "{" ".join(first.choices)}" -- "$cur"))',
            "file": "_http_service_client_files",
        }.get(first.positional, ":")
        cases.append(
            f"""\
    {"|".join(command.name for command in group)})
      case "$prev" in
{chr(10).join(values)}
      esac
      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "{words}" -- "$cur")); else {positional}; fi ;;
"""
        )
    return f"""\
# Completion of {_PROGRAM} for bash.
_http_service_client_files() {{
  local prefix=""
  if [[ $cur == @* ]]; then prefix="@"; fi
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen -P "$prefix" -f -- "${{cur#@}}"))
}}
{_FUNCTION}() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" command="" word
  COMPREPLY=()
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    if [[ $word != -* ]]; then command="$word"; break; fi
  done
  case "$command" in
    "") COMPREPLY=($(compgen -W "{names} --help --version" -- "$cur")) ;;
{"".join(cases)}  esac
}}
complete -F {_FUNCTION} {_PROGRAM}
"""


def _zsh(commands: list[_Command]) -> str:
    listed = "\n".join(f"    '{command.name}:{_plain(command.help)}'" for command in commands)
    cases = []
    for group in _alike(commands):
        first = group[0]
        lines = []
        for option in first.options:
            action = {
                "": "",
                "choice": f":value:({' '.join(option.choices)})",
                "file": ":file:_http_service_client_files",
                "text": ":value: ",
            }[option.takes]
            # `*` lets an option be given more than once.
            lines += [f"      '*{name}[{option.help}]{action}'" for name in option.names]
        positional = {
            "choice": f"'*:value:({' '.join(first.choices)})'",
            "file": "'*:file:_files'",
        }.get(first.positional, "'*: : '")
        cases.append(
            f"    {'|'.join(command.name for command in group)})\n      _arguments -s \\\n"
            + "".join(f"{line} \\\n" for line in lines)
            + f"      {positional} ;;\n"
        )
    return f"""\
#compdef {_PROGRAM}
# Completion of {_PROGRAM} for zsh.
_http_service_client_files() {{
  compset -P '@'
  _files
}}
{_FUNCTION}() {{
  local -a commands
  commands=(
{listed}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$command" in
{"".join(cases)}  esac
}}
compdef {_FUNCTION} {_PROGRAM}
"""


def _fish(commands: list[_Command]) -> str:
    lines = [f"# Completion of {_PROGRAM} for fish.", f"complete -c {_PROGRAM} -f"]
    for command in commands:
        lines.append(
            f"complete -c {_PROGRAM} -n __fish_use_subcommand -a {command.name} -d '{_plain(command.help)}'"
        )
    for group in _alike(commands):
        condition = f"-n '__fish_seen_subcommand_from {' '.join(command.name for command in group)}'"
        for option in group[0].options:
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
            )
            values = {
                "": "",
                "choice": f" -x -a '{' '.join(option.choices)}'",
                "file": " -r -F",
                "text": " -x",
            }[option.takes]
            lines.append(f"complete -c {_PROGRAM} {condition} {names}{values} -d '{option.help}'")
        if group[0].positional == "choice":
            lines.append(f"complete -c {_PROGRAM} {condition} -a '{' '.join(group[0].choices)}'")
        elif group[0].positional == "file":
            lines.append(f"complete -c {_PROGRAM} {condition} -F")
    return "\n".join([*lines, ""])


_SCRIPTS: dict[str, Callable[[list[_Command]], str]] = {"bash": _bash, "fish": _fish, "zsh": _zsh}
