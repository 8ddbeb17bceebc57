from channels.routing import include, route

from reports.consumers import ReportsConsumer
from tasks.consumers import Demultiplexer

channel_routing = [
    include("rooms.routing.channel_routing", path=r"^/rooms"),
    include("liveblog.routing.channel_routing", path=r"^/liveblog"),
    Demultiplexer.as_route(path=r"^/tasks/$"),
    ReportsConsumer.as_route(path=r"^/reports/$"),
    route("reports.make", "reports.consumers.make_report"),
    route("reports.remove", "reports.consumers.remove_report"),
]
