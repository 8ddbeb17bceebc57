channel_routing = {
    "websocket.connect": "liveblog.consumers.ws_connect",
    "websocket.disconnect": "liveblog.consumers.ws_disconnect",
}
