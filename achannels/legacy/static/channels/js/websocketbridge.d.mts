/// <reference path="./websocketbridge.d.ts" />

export import WebSocketBridge = channels.WebSocketBridge;
export import ReconnectingOptions = channels.ReconnectingOptions;
export import ReconnectingSocket = channels.ReconnectingSocket;
export import StreamCallback = channels.StreamCallback;
export import DefaultCallback = channels.DefaultCallback;
