"""`cg webhook`: the receiver of the platforms' webhooks."""

from contextlib import suppress
from typing import Annotated

import typer

from cg_pipeline.cli.context import ready
from cg_pipeline.cli.output import console
from cg_pipeline.cli.up import require_free
from cg_pipeline.config import PLATFORMS, Settings

app = typer.Typer(help="Webhooks: what the platforms tell of their own accord.", no_args_is_help=True)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Where it listens, on 127.0.0.1.", min=1, max=65535)] = 8787,
) -> None:
    """Receive webhooks until Ctrl-C: at /webhooks/PLATFORM and /webhooks/PLATFORM/SITE (a site's id or platform id).

    `cg up` starts it too. A reverse proxy with TLS stands in front of it and passes on /webhooks/ alone: /healthz,
    /readyz and /metrics are for this machine.
    """
    require_free(port, "--port")
    pipeline = ready()

    import uvicorn  # noqa: PLC0415  half a second that no other command needs

    from cg_pipeline.webhooks.receiver import UVICORN, make_app  # noqa: PLC0415  likewise

    _warn_of_missing_secrets(pipeline.settings)
    receiver = make_app(pipeline.warehouse, pipeline.settings, pipeline.clock)
    console.print(f"Webhooks at http://127.0.0.1:{port}/webhooks/<platform>[/<site>]. Stop with Ctrl-C.")
    with suppress(KeyboardInterrupt):  # uvicorn has stopped by then
        uvicorn.run(receiver, host="127.0.0.1", port=port, **UVICORN)


def _warn_of_missing_secrets(settings: Settings) -> None:
    from cg_pipeline.webhooks.receiver import app_secrets  # noqa: PLC0415  likewise

    for platform in PLATFORMS:
        if not app_secrets(settings, platform):
            names = f"CG_{platform.upper()}_CLIENT_SECRET or CG_{platform.upper()}_WEBHOOK_SECRETS"
            console.print(
                f"Warning: {platform} has no secret. Its posts are refused with 401 until {names} is set, unless they"
                " come to the address of a site with a secret of its own."
            )
