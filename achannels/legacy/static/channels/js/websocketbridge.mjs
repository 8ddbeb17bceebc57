// The ES module: `import { WebSocketBridge } from "…/channels/js/websocketbridge.mjs"`.
import "./websocketbridge.js";

export const { WebSocketBridge } = globalThis.channels;
