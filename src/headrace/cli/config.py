"""`headrace config`: the settings that are in effect."""

from __future__ import annotations

import typer

from headrace.cli.output import Json, print_json, print_table

group = typer.Typer(help="The settings.", rich_markup_mode=None, no_args_is_help=True)


@group.command()
def show(as_json: Json = False) -> None:
    """Print every setting with its value in effect; secrets are masked."""
    from headrace.cli.settings import unknown_settings
    from headrace.pipelines.consensus.settings import ConsensusSettings, consensus_settings
    from headrace.pipelines.documents.settings import DocumentsSettings, documents_settings
    from headrace.settings import describe, load_settings
    from headrace.variables import describe as describe_class

    rows = [
        {"setting": row.name, "value": row.value, "default": row.default, "meaning": row.meaning}
        for row in (
            *describe(load_settings()),
            *describe_class(DocumentsSettings, documents_settings()),
            *describe_class(ConsensusSettings, consensus_settings()),
        )
    ]
    unknown = unknown_settings()
    if as_json:
        print_json({"settings": rows, "unknown": [setting.name for setting in unknown]})
        return
    print_table(rows, ("setting", "value", "default"))
    for setting in unknown:
        meant = f"; did you mean {setting.close_matches[0]}?" if setting.close_matches else ""
        typer.echo(f"headrace: {setting.name} is set, but is no setting{meant}", err=True)
