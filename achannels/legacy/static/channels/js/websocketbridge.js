// WebSocketBridge: JSON over a WebSocket that connects again by itself; a demultiplexer's streams.
// A classic script that sets the global `channels.WebSocketBridge`; websocketbridge.mjs is the ES
// module, websocketbridge.d.ts has the types.
"use strict";

{
  const DEFAULTS = {
    constructor: undefined, // a class in place of the browser's WebSocket
    minReconnectionDelay: 1500, // milliseconds before the first new try, at most
    maxReconnectionDelay: 10_000, // and before any
    reconnectionDelayGrowFactor: 1.3, // from one try to the next
    connectionTimeout: 4000, // milliseconds that one try may take
    minUptime: 5000, // milliseconds after which a connection counts as good
    maxRetries: Infinity, // new tries in a row
    debug: false, // tell the console what happens
  };

  // The interface of a WebSocket over one connection after the other: listeners and `on…` handlers
  // stay, "open" and "close" are dispatched for each connection.
  class ReconnectingSocket extends EventTarget {
    onopen = null;
    onmessage = null;
    onclose = null;
    onerror = null;

    #url;
    #protocols;
    #options = { ...DEFAULTS };
    #binaryType = "blob";
    #connection = null;
    #tries = 0; // in a row that led to no good connection
    #timer = 0;
    #again = true; // whether a connection that ends is followed by another
    #hurry = () => this.#waits && this.#connect();
    #waits = false;

    constructor(url, protocols, options) {
      super();
      this.#url = url;
      this.#protocols = protocols ?? [];
      for (const [name, value] of Object.entries(options ?? {})) {
        if (value !== undefined) this.#options[name] = value;
      }
      for (const type of ["open", "message", "close", "error"]) {
        this.addEventListener(type, (event) => this[`on${type}`]?.(event));
      }
      this.#connect();
      globalThis.addEventListener?.("online", this.#hurry);
    }

    get url() {
      return this.#connection.url;
    }

    get readyState() {
      return this.#connection.readyState;
    }

    get protocol() {
      return this.#connection.protocol;
    }

    get extensions() {
      return this.#connection.extensions;
    }

    get bufferedAmount() {
      return this.#connection.bufferedAmount;
    }

    get binaryType() {
      return this.#binaryType;
    }

    set binaryType(type) {
      this.#binaryType = this.#connection.binaryType = type;
    }

    // As that of a WebSocket: throws while it connects, drops the data while it is closed.
    send(data) {
      this.#connection.send(data);
    }

    // Closes for good; with `keepClosed: false` the next connection follows.
    close(code = 1000, reason = "", { keepClosed = true } = {}) {
      this.#connection.close(code, reason);
      this.#again = !keepClosed;
      if (keepClosed) this.#stop();
    }

    #connect() {
      clearTimeout(this.#timer);
      this.#waits = false;
      const { constructor: Socket = globalThis.WebSocket, connectionTimeout } = this.#options;
      const connection = new Socket(this.#url, this.#protocols);
      this.#connection = connection;
      connection.binaryType = this.#binaryType;
      this.#timer = setTimeout(() => connection.close(), connectionTimeout);
      connection.onopen = () => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#good(), this.#options.minUptime);
        this.#tell(new Event("open"), "open");
      };
      connection.onmessage = ({ data, origin }) => {
        this.dispatchEvent(new MessageEvent("message", { data, origin }));
      };
      connection.onerror = () => this.#tell(new Event("error"), "error");
      connection.onclose = ({ code, reason, wasClean }) => {
        clearTimeout(this.#timer);
        if (this.#again) this.#wait();
        this.#tell(new CloseEvent("close", { code, reason, wasClean }), `closed with ${code}`);
      };
    }

    #good() {
      this.#tries = 0;
    }

    #wait() {
      const options = this.#options;
      if (this.#tries >= options.maxRetries) {
        this.#stop();
        return;
      }
      const grown = options.minReconnectionDelay * options.reconnectionDelayGrowFactor ** this.#tries;
      // Never the same for all pages of a server that comes back.
      const delay = Math.min(options.maxReconnectionDelay, grown) * (0.5 + Math.random() / 2);
      this.#tries += 1;
      this.#waits = true;
      this.#timer = setTimeout(() => this.#connect(), delay);
      this.#log(`try ${this.#tries} in ${Math.round(delay)} ms`);
    }

    #stop() {
      clearTimeout(this.#timer);
      this.#waits = false;
      globalThis.removeEventListener?.("online", this.#hurry);
    }

    #tell(event, text) {
      this.#log(text);
      this.dispatchEvent(event);
    }

    #log(text) {
      if (this.#options.debug) console.debug(`${this.#url}: ${text}`);
    }
  }

  for (const [value, name] of ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].entries()) {
    Object.defineProperty(ReconnectingSocket, name, { value, enumerable: true });
    Object.defineProperty(ReconnectingSocket.prototype, name, { value, enumerable: true });
  }

  class WebSocketBridge {
    constructor(options) {
      this.options = { ...options };
      this.socket = null;
      this.streams = {};
      this.default_cb = null;
    }

    // Opens a socket, and again whenever it is lost; one that this bridge had before is closed.
    // `url`: nothing for the root of the page's host, a path on it, or the whole address.
    connect(url, protocols, options) {
      this.socket?.close();
      this.socket = new ReconnectingSocket(address(url), protocols, options);
    }

    // Starts to take frames: those of a stream go to its handler, all others to `cb(message, null)`.
    listen(cb) {
      this.default_cb = cb ?? null;
      this.#connected("listen").onmessage = ({ data }) => this.#take(JSON.parse(data));
    }

    // Gives a stream its handler, `cb(payload, stream)`; the last one counts.
    demultiplex(stream, cb) {
      this.streams[stream] = cb;
    }

    // Sends a value as JSON. Returns whether there was a connection to send it over.
    send(msg) {
      const socket = this.#connected("send");
      const open = socket.readyState === socket.OPEN;
      socket.send(JSON.stringify(msg));
      return open;
    }

    // Returns an object with `send(action)`, which sends to one stream of a demultiplexer.
    stream(stream) {
      return { send: (action) => this.send({ stream, payload: action }) };
    }

    #take(message) {
      if (message?.stream === undefined) {
        this.default_cb?.(message, null);
      } else if (Object.hasOwn(this.streams, message.stream)) {
        this.streams[message.stream](message.payload, message.stream);
      }
    }

    #connected(method) {
      if (this.socket === null) throw new Error(`WebSocketBridge.${method}(): call connect() first.`);
      return this.socket;
    }
  }

  const address = (url) => {
    if (url && !url.startsWith("/")) return url;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    return `${scheme}://${location.host}${url || "/"}`;
  };

  // Not `globalThis.channels ??=`: an element with this id would be found.
  if (!Object.hasOwn(globalThis, "channels")) {
    Object.defineProperty(globalThis, "channels", { value: {}, configurable: true, writable: true });
  }
  globalThis.channels.WebSocketBridge = WebSocketBridge;
}
