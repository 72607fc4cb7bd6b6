"""Events of TikTok. Facts: developers.tiktok.com/doc/webhooks-events and the portal of the Business API; evidence in
section 6 of the platform's reference. Posts have events only where this app published them.
"""

from typing import Any

from cg_pipeline.warehouse.models.enums import WebhookAction
from cg_pipeline.webhooks.entries import Entry, Unreadable
from cg_pipeline.webhooks.payloads_facts import Meaning, asked, document, first, ignored, key, moment, within

ACTIONS = {
    "authorization.removed": WebhookAction.PAUSE,
    "post.publish.publicly_available": WebhookAction.REFRESH,
    "post.publish.no_longer_publicaly_available": WebhookAction.DELETE,  # as it is misspelt on the wire
    "post.publish.no_longer_publicly_available": WebhookAction.DELETE,
    "post.publish.complete": WebhookAction.REFRESH,
    "video.publish.completed": WebhookAction.REFRESH,
    "comment.update": WebhookAction.REFRESH,
}
# These need no post: the grant is the site's, and what was published is named minutes later only.
WHOLE_SITE = frozenset({"authorization.removed", "post.publish.complete", "video.publish.completed"})


def tiktok(body: Any) -> list[Entry]:
    """The one event of a body. Raises Unreadable."""
    name = first(body, "event")
    if not name:
        raise Unreadable("The body is not an event of TikTok: it has no `event`.")
    account, happened = first(body, "user_openid"), within(body, "create_time")
    action, post, reason = _meaning(name, _content(body))
    identity = key(name, account, happened, within(body, "content"))
    return [Entry(name, account, post, action, moment(happened), identity, body, reason)]


def _content(body: Any) -> Any:
    """The content, which is JSON in a text; nothing where it cannot be read, since the event alone says enough."""
    content = within(body, "content")
    try:
        return document(content) if isinstance(content, str) else content
    except Unreadable:
        return None


def _meaning(name: str, content: Any) -> Meaning:
    post = first(content, "post_id", "video_id", "item_id")
    if name not in ACTIONS:
        return ignored(f"nothing is to be done for {name}")
    if name == "authorization.removed":
        return Meaning(WebhookAction.PAUSE)
    return Meaning(ACTIONS[name], post) if name in WHOLE_SITE else asked(ACTIONS[name], post)
