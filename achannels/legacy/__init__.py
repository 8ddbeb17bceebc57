"""Channels 1.x on today's Python and Django: its module tree, name for name.

```python
# the first lines of settings.py; all else of the project stays
import achannels.legacy

achannels.legacy.install()
```

From then on `channels` is this package and `channels.X` the module `achannels.legacy.X`; so are
`asgiref.inmemory`, `asgi_redis` and `asgi_ipc`. The entry `"achannels.legacy"` (or `"channels"`) in
`INSTALLED_APPS` does the same, for what is imported after it; beside another package `channels` it
leaves that its name.

The rooms, lowest first; each knows the ones above it in this list:

```
alias        the finder that gives the old names; refuses beside another `channels`
exceptions, signals, utils, log, names
facade       a layer with blocking methods and the old method names
contents     contents in the words of 1.x, where they differ from ours
routing      Route, RouteClass, Include, Router
asgi         channel_layers, ChannelLayerWrapper, get_channel_layer
inmemory, redis, ipc    the layers of asgiref.inmemory, asgi_redis and asgi_ipc
channel      Channel, Group
message      Message, pending_message_store
custom       routing objects of one's own in our router
sessions, auth, security.websockets     the decorators
handler      AsgiRequest, AsgiHandler, ViewConsumer
staticfiles
generic      BaseConsumer, WebsocketConsumer, WebsocketDemultiplexer, ...
binding, delay
dispatch     how our dispatcher calls consumers of 1.x
conf, checks, apps, management          1.x's defaults, and Django's side
worker       Worker, WorkerGroup
test         ChannelTestCase, Client, WSClient, apply_routes
```
"""

from achannels.asgi.settings import defaults
from achannels.legacy import alias, conf, custom, dispatch, log, ready
from achannels.legacy.asgi import DEFAULT_CHANNEL_LAYER, channel_layers
from achannels.legacy.channel import Channel, Group
from achannels.legacy.routing import include, route, route_class

__version__ = "1.1.8"
"""The version of Channels that this is a stand-in for."""

default_app_config = "channels.apps.ChannelsConfig"


def install(*, names: bool = True) -> None:
    """Put Channels 1.x at the name `channels`, and set its defaults; more than once does nothing.

    Call it in the first lines of the settings, before anything imports `channels`.

    Args:
        names: `False` leaves the name `channels` to another package of that name: the modules of 1.x
            are `achannels.legacy` alone, and all else is the same.

    Raises:
        ConfigurationError: Another package `channels` is installed, and its name is asked for.
    """
    if names:
        alias.refuse_beside_another()
        alias.put_in_place()
    defaults.update(conf.DEFAULTS)
    custom.install()
    dispatch.install()
    ready.install()
    log.install()


__all__ = [
    "DEFAULT_CHANNEL_LAYER",
    "Channel",
    "Group",
    "__version__",
    "channel_layers",
    "default_app_config",
    "include",
    "install",
    "route",
    "route_class",
]
