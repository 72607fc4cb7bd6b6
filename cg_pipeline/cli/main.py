"""The `cg` command: puts the groups of commands together and turns errors into one sentence and an exit code."""

import sys

import typer

from cg_pipeline.cli import artist, csv, db, deltas, demo, royalties, site, up
from cg_pipeline.cli.output import errors
from cg_pipeline.errors import CgError, Transient

app = typer.Typer(
    name="cg",
    help="Lifetime snapshots, deltas and artist royalties from social platforms and CSV exports.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("init")(up.init)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.add_typer(db.app, name="db")
app.add_typer(site.app, name="site")
app.add_typer(artist.app, name="artist")
app.add_typer(csv.app, name="csv")
app.add_typer(deltas.app, name="deltas")
app.add_typer(royalties.app, name="royalties")


def main() -> None:
    """Run the command. Exit code 1: it could not be done; 2: it was not understood; 3: trying again may help."""
    try:
        app()
    except CgError as error:
        errors.print(f"[bold red]Error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(3 if isinstance(error, Transient) else 1)


if __name__ == "__main__":
    main()
