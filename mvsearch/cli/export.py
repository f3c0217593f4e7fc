"""`mvsearch export ARCH --to FORMAT -o FILE`: take a network out of the framework."""

from pathlib import Path

import click

from mvsearch.cli._print import storage_option


@click.command()
@click.argument("arch")
@click.option("--to", "kind", default="torch", show_default=True, help="The format: torch or yaml.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The file; by default the architecture's name.")
@click.option("--weights", type=click.Path(path_type=Path), help="Write weights beside it: a .safetensors file.")
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="Weights to take, instead of fresh ones from --seed."
)
@storage_option
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="For fresh weights.")
def export(
    arch: str,
    kind: str,
    output: Path | None,
    weights: Path | None,
    checkpoint: Path | None,
    storage: str | None,
    seed: int,
) -> None:
    """Write ARCH (a published name, a YAML file or STUDY:NUMBER) as a file that needs no mvsearch."""
    from mvsearch import plugins
    from mvsearch.errors import PlanError
    from mvsearch.finding import find_architecture

    found = find_architecture(arch, storage=storage)
    if checkpoint is not None and weights is None:
        raise PlanError("--checkpoint says where weights come from; say where they go with --weights FILE.safetensors.")
    exporter = plugins.load("exporters", kind, error=PlanError)
    path = output or Path(f"{found.name or found.key}{exporter.SUFFIX}")
    if weights is not None:
        from mvsearch.exporters._weights import write_weights

        write_weights(found, weights, checkpoint=checkpoint, seed=seed)
        click.echo(f"wrote {weights}")
    exporter.export(found, path)
    click.echo(f"wrote {path}")
