"""``upscale completion``: what makes a shell complete commands, options and files with the tabulator key."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", no_args_is_help=True)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options and files.

    \b
    bash: upscale completion bash > ~/.local/share/bash-completion/completions/upscale
    zsh:  upscale completion zsh > "${fpath[1]}/_upscale"
    fish: upscale completion fish > ~/.config/fish/completions/upscale.fish
    """
    from upscale_cli.cli import commands

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(commands, {}, "upscale", "_UPSCALE_COMPLETE").source())
