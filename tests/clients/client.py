"""The Python client: it writes no space behind SSWS."""
import asyncio
import os

from okta import models
from okta.client import Client

KIND = "com.okta.telephony.provider"
CHANNEL = {"type": "HTTP", "version": "1.0.0",
           "config": {"uri": "https://otp.example.com/hook", "method": "POST", "headers": []}}


def with_scheme(hook):
    # its models read the scheme from nowhere else
    hook.channel.config.auth_scheme = models.InlineHookChannelConfigAuthSchemeBody(
        type="HEADER", key="Authorization", value="Basic eDp5")
    return hook


def well(answer):
    assert answer[-1] is None, answer[-1]
    return answer[0]


async def main():
    client = Client({"orgUrl": os.environ["ORG"], "token": os.environ["TOKEN"]})
    body = {"name": "by python", "version": "1.0.0", "channel": CHANNEL}
    create = with_scheme(models.InlineHookCreate.from_dict({**body, "type": KIND}))
    hook = well(await client.create_inline_hook(create))
    assert [one.id for one in well(await client.list_inline_hooks(type=KIND))] == [hook.id]
    assert well(await client.get_inline_hook(hook.id)).name == "by python"
    replace = with_scheme(models.InlineHookReplace.from_dict({**body, "name": "by python, renamed"}))
    assert well(await client.replace_inline_hook(hook.id, replace)).name == "by python, renamed"
    assert well(await client.deactivate_inline_hook(hook.id)).status == "INACTIVE"
    assert well(await client.activate_inline_hook(hook.id)).status == "ACTIVE"
    well(await client.deactivate_inline_hook(hook.id))
    assert (await client.delete_inline_hook(hook.id))[-1] is None
    assert (await client.get_inline_hook(hook.id))[-1] is not None
    assert len(well(await client.list_log_events(limit=2))) == 2


asyncio.run(main())
