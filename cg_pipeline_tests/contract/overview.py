"""The README's table of the platforms, made by reading a thousand posts of each from the sandbox.

`python -m cg_pipeline_tests.contract.overview` writes it into the README; a test compares."""

import re
from datetime import UTC, datetime

from cg_pipeline.capture.observation import ATTRIBUTES, METRICS
from cg_pipeline.config import PLATFORMS, PROJECT
from cg_pipeline.platforms.contract import AsOf
from cg_pipeline.sandbox.server import Sandbox, serving
from cg_pipeline.sandbox.world import World
from cg_pipeline_tests.contract.readings import Site

README = PROJECT / "README.md"
BLOCK = re.compile(r"(?<=<!-- platforms -->\n).*?(?=<!-- /platforms -->)", re.DOTALL)
NOW = datetime(2027, 2, 1, 12, tzinfo=UTC)
HEAD = (
    "| Platform | Calls per 1,000 posts (fewest) | As of | Permissions |\n|---|---|---|---|\n",
    "| Platform | Counters | Attributes of posts |\n|---|---|---|\n",
)
PERMANENT = {"page_id", "page_name"}


def table() -> str:
    """Both tables, in Markdown."""
    lines: tuple[list[str], list[str]] = ([], [])
    sandbox = Sandbox(World(accounts_each=1, posts_each=1100, hours_between=7), NOW)
    with serving(sandbox) as address:
        for platform in PLATFORMS:
            site = Site(sandbox, sandbox.world.accounts[platform][0], f"{address}/{platform}")
            for kept, line in zip(lines, _lines(site), strict=True):
                kept.append(line)
    return "\n".join(head + "".join(kept) for head, kept in zip(HEAD, lines, strict=True))


def _lines(site: Site) -> tuple[str, str]:
    made, reading = site.connector, site.reading()
    made.account(reading)
    posts = site.posts(reading)
    metrics = site.metrics(posts, reading)
    calls = round(1000 * reading.caller.usage.requests / len(posts))
    fewest = round(1000 * made.minimum_calls(len(posts)) / len(posts))
    values = {name for post in posts for name in post.values}
    values |= {name for record in metrics.values() for name, value in record.values.items() if value is not None}
    told = {name for post in posts for name, value in post.attributes.items() if value is not None} - PERMANENT
    as_of = "only now" if made.as_of is AsOf.NOW_ONLY else f"any day; the last {made.settling_days} still settle"
    scopes = "; ".join(f"`{scope}`: {what}" for scope, what in made.scopes.items())
    return (
        f"| {made.platform} | {calls} ({fewest}) | {as_of} | {scopes} |\n",
        f"| {made.platform} | {_names(METRICS, values)} | {_names(ATTRIBUTES, told)} |\n",
    )


def _names(order: tuple[str, ...], found: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in order if name in found)


def main() -> None:
    """Write the table into the README."""
    text = README.read_text(encoding="utf-8")
    README.write_text(BLOCK.sub(lambda _: f"\n{table()}\n", text), encoding="utf-8")


if __name__ == "__main__":
    main()
