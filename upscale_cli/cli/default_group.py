"""A group of commands of which one is meant where none is named."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

OWN_OPTIONS = ("--help", "-h", "--version")


class DefaultGroup(click.Group):
    """A group whose first argument may be a picture instead of a command: ``default`` is meant then.

    Its help lists, under ``heading``, the default's options whose names are ``shown``: all if there are none.
    """

    default = ""
    shown: tuple[str, ...] = ()
    heading = ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the name of the default where another word comes first."""
        if args and args[0] not in self.list_commands(ctx) and args[0] not in OWN_OPTIONS:
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return commands, and what the default takes: its options, or files."""
        command = self.get_command(ctx, self.default)
        assert command is not None
        taken = command.params[0] if not incomplete.startswith("-") else command
        return [*super().shell_complete(ctx, incomplete), *taken.shell_complete(click.Context(command), incomplete)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the default before the group's own, and the commands."""
        command = self.get_command(ctx, self.default)
        assert command is not None
        options = {str(option.name): option for option in command.params if isinstance(option, click.Option)}
        records = [options[name].get_help_record(ctx) for name in self.shown or options]
        with formatter.section(self.heading):
            formatter.write_dl([record for record in records if record])
        super().format_options(ctx, formatter)
