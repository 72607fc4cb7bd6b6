"""How Meta's three platforms word what they share, for their sandboxes: errors, usage headers, pages, insights."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cg_pipeline.sandbox.server import Sandbox
from cg_pipeline.sandbox.tokens import Grant
from cg_pipeline.sandbox.world import Account

PAGE = 25
Item = TypeVar("Item")


def error(
    status: int, code: int, message: str, subcode: int | None = None, kind: str = "OAuthException"
) -> JSONResponse:
    """The error envelope."""
    body: dict[str, Any] = {"message": message, "type": kind, "code": code, "fbtrace_id": "ASandboxTrace"}
    return JSONResponse({"error": body | ({"error_subcode": subcode} if subcode else {})}, status)


def token_of(request: Request) -> str:
    """From the header, else from the address."""
    return request.headers.get("authorization", "").removeprefix("Bearer ") or request.query_params.get(
        "access_token", ""
    )


def unauthorized(sandbox: Sandbox, grant: Grant | None) -> Response:
    """Expired tokens have a subcode of their own."""
    if grant is not None and grant.expires_at is not None and grant.expires_at <= sandbox.now:
        return error(401, 190, "Error validating access token: Session has expired.", 463)
    return error(401, 190, "Error validating access token: The user has not authorized application.", 458)


def throttled(limit_code: int, usage_type: str, account: Account, seconds: int | None) -> Response:
    """A limit is reached: the minutes stand in the usage header, or nowhere."""
    answer = error(400, limit_code, "There have been too many calls to this account. Wait a bit and try again.")
    if seconds is not None:
        answer.headers.update(usage(usage_type, account, 100, -(-seconds // 60)))
    return answer


def usage(usage_type: str, account: Account, percent: int, minutes: int = 0) -> dict[str, str]:
    """The usage header, in percent of the limit."""
    use = f'"type":"{usage_type}","call_count":{percent},"total_cputime":5,"total_time":5'
    regain = f'"estimated_time_to_regain_access":{minutes}'
    return {"x-business-use-case-usage": f'{{"{account.platform_id}":[{{{use},{regain}}}]}}'}


def forbidden(_: Sandbox, __: Account) -> Response:
    """A permission is missing."""
    return error(403, 10, "(#10) Application does not have permission for this action")


def gone(native_id: str) -> Response:
    """The object is not there, or not for this token: the platform does not tell which."""
    message = f"Unsupported get request. Object with ID '{native_id}' does not exist, cannot be loaded due to missing "
    return error(400, 100, message + "permissions, or does not support this operation", 33, "GraphMethodException")


def page(
    sandbox: Sandbox,
    account: Account,
    request: Request,
    things: Sequence[Item],
    word: Callable[[Item], Mapping[str, Any] | Response],
    most: int = 100,
) -> Response:
    """One page of a listing, what it lists put into words. Raising the limit above the most allowed is an error."""
    params = request.query_params
    limit = int(params.get("limit", PAGE))
    if limit > most:
        return error(400, 100, f"(#100) limit must not be larger than {most}")
    start = int(params.get("after", "c0").removeprefix("c") or 0)
    items = [word(thing) for thing in things[start : start + limit]]
    if refusal := next((item for item in items if isinstance(item, Response)), None):
        return refusal
    body: dict[str, Any] = {"data": items}
    if body["data"]:
        following = start if sandbox.is_on(account, "repeated_page") else start + limit
        body["paging"] = {"cursors": {"before": f"c{start}", "after": f"c{following}"}}
        if following < len(things):
            # As the real ones: the address bears the token.
            url = request.url.include_query_params(after=f"c{following}", access_token=token_of(request))
            body["paging"]["next"] = str(url)
    return JSONResponse(body)


def lifetime(native_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """An insights answer of lifetime values."""
    return {
        "data": [
            {
                "name": name,
                "period": "lifetime",
                "values": [{"value": value}],
                "title": name.replace("_", " ").capitalize(),
                "description": "",
                "id": f"{native_id}/insights/{name}/lifetime",
            }
            for name, value in values.items()
        ]
    }


def time(moment: datetime) -> str:
    """A Graph time."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S+0000")
