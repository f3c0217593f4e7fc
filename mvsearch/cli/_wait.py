"""What a command prints while it waits for the machine, which another one uses."""

from functools import cache

import click


@cache
def tell_of_wait(waiting: bool) -> None:
    """Print once for each command that it waits; nothing once a wait has ended."""
    if waiting:
        click.echo(
            "waiting for another mvsearch command that trains or measures on this machine or the same device, seconds "
            "to hours; continues by itself.",
            err=True,
        )
