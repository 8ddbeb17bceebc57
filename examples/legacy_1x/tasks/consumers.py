from channels.generic.websockets import WebsocketDemultiplexer

from tasks.bindings import TaskBinding


class Demultiplexer(WebsocketDemultiplexer):
    http_user = True
    consumers = {"tasks": TaskBinding.consumer}
    groups = ["tasks"]
