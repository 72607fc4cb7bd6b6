"""`cg webhook list|show|replay|retry|bury|secret`: what a person does about webhooks."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from cg_pipeline.capture import sites
from cg_pipeline.cli.context import not_blank, ready
from cg_pipeline.cli.output import AsJson, console, print_json, show
from cg_pipeline.cli.site import ask_secret
from cg_pipeline.pipeline import Pipeline
from cg_pipeline.warehouse.database import Connection
from cg_pipeline.warehouse.models.enums import Platform, WebhookStatus
from cg_pipeline.webhooks import desk
from cg_pipeline.webhooks.desk import Filter

MOST = 100_000

Event = Annotated[UUID | None, typer.Argument(help="The id of one event.")]
OfPlatform = Annotated[Platform | None, typer.Option("--platform", help="Only events of this platform.")]
OfSite = Annotated[str | None, typer.Option("--site", help="Only events of this site: name, id or username.")]
OfType = Annotated[str | None, typer.Option("--type", help="Only this type, such as feed.video.add; % is anything.")]
OfStatus = Annotated[WebhookStatus | None, typer.Option("--status", help="Only events that stand so.")]
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
Since = Annotated[
    datetime | None, typer.Option("--since", formats=FORMATS, metavar="TIME", help="Received then or later, UTC.")
]
Until = Annotated[
    datetime | None, typer.Option("--until", formats=FORMATS, metavar="TIME", help="Received before then, UTC.")
]


def list_(
    platform: OfPlatform = None,
    site: OfSite = None,
    type_: OfType = None,
    status: OfStatus = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List stored events, newest first."""
    pipeline = ready()
    wanted = _filter(pipeline, platform=platform, site=site, type=type_, status=status, since=since, until=until)
    with pipeline.warehouse.connect() as connection:
        show(desk.find(connection, wanted, limit), as_json, empty="No such webhook event is stored.")


def show_(event: Annotated[UUID, typer.Argument(help="The id, as `cg webhook list` shows it.")]) -> None:
    """Show one event with its payload, as JSON."""
    pipeline = ready()
    with pipeline.warehouse.connect() as connection:
        print_json(desk.show(connection, event))


def replay(
    event: Event = None,
    platform: OfPlatform = None,
    site: OfSite = None,
    type_: OfType = None,
    status: OfStatus = None,
    since: Since = None,
    until: Until = None,
    a_minute: Annotated[
        int, typer.Option("--rate", help="So many a minute, so that they hold up no new ones.", min=1)
    ] = 600,
) -> None:
    """Process events anew, processed and ignored ones too: after an outage, or when a site was added later.

    Their posts are read again under today's date. The replay is written into the audit log.
    """
    pipeline = ready()
    with pipeline.warehouse.connect() as connection:
        ids = _chosen(
            pipeline, connection,
            id=event, platform=platform, site=site, type=type_, status=status, since=since, until=until,
        )  # fmt: skip
        done = desk.replay(connection, ids, a_minute, pipeline.clock.now())
    minutes = -(-done // a_minute)
    console.print(f"{done} of {len(ids)} events will be processed anew, within {minutes} min. of each other.")


def retry(
    event: Event = None,
    platform: OfPlatform = None,
    site: OfSite = None,
    type_: OfType = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Try failed and dead events again at once, with all their attempts: when the cause is gone."""
    pipeline = ready()
    with pipeline.warehouse.connect() as connection:
        ids = [
            each
            for status in desk.RETRIED
            for each in _chosen(
                pipeline, connection,
                id=event, platform=platform, site=site, type=type_, status=status, since=since, until=until,
            )
        ]  # fmt: skip
        done = desk.retry(connection, ids, pipeline.clock.now())
    console.print(f"{done} events are tried again.")


def bury(
    event: Annotated[UUID, typer.Argument(help="The id, as `cg webhook list` shows it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it is given up.", callback=not_blank)],
) -> None:
    """Give a waiting event up: it is dead and is not tried again, unless it is replayed."""
    pipeline = ready()
    with pipeline.warehouse.connect() as connection:
        desk.show(connection, event)
        done = desk.bury(connection, [event], reason, pipeline.clock.now())
    console.print("It is dead now." if done else "It does not wait: nothing was changed.")


def secret(site: Annotated[str, typer.Argument(help="The site: name, id or username.")]) -> None:
    """Let a site's webhooks be signed with a secret of its own, which is asked for or read from the input: no argument.

    It is valid at the site's own address, /webhooks/PLATFORM/SITE, beside the one before it and the app's. YouTube's
    are made and changed by themselves.
    """
    pipeline = ready()
    given = ask_secret("Secret")
    if "," in given:
        message = "A secret with a comma cannot be kept beside another."
        raise typer.BadParameter(message)
    with pipeline.warehouse.connect() as connection:
        found = sites.find(connection, site)
        desk.add_secret(connection, pipeline.platforms.ring, found.id, given, pipeline.clock.now())
    console.print(f"Stored. It is valid within half a minute at /webhooks/{found.platform}/{found.platform_id}.")


def add_to(app: typer.Typer) -> None:
    """Put these commands into the group."""
    app.command("list")(list_)
    app.command("show")(show_)
    app.command()(replay)
    app.command()(retry)
    app.command()(bury)
    app.command()(secret)


def _chosen(pipeline: Pipeline, connection: Connection, **named: Any) -> list[UUID]:
    """The ids of the events that were named, oldest first. All of them only when that is said in some way."""
    wanted = _filter(pipeline, **named)
    if wanted == Filter():
        message = "Say which events: the id of one, or filters such as --status and --since."
        raise typer.BadParameter(message)
    return [row["id"] for row in reversed(desk.find(connection, wanted, MOST))]


def _filter(pipeline: Pipeline, *, site: str | None, **named: Any) -> Filter:
    """The options as a filter: times are UTC, a site is found by its name."""
    with pipeline.warehouse.connect() as connection:
        site_id = sites.find(connection, site).id if site else None
    times = {name: moment.replace(tzinfo=UTC) for name in ("since", "until") if (moment := named[name])}
    return Filter(**{**named, **times}, site=site_id)
