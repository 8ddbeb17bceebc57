/** What the classic script websocketbridge.js declares. */
declare namespace channels {
  /** Takes a payload of a stream. */
  type StreamCallback = (payload: any, stream: string) => void;

  /** Takes a message that belongs to no stream. */
  type DefaultCallback = (message: any, stream: null) => void;

  interface ReconnectingOptions {
    /** A class in place of the browser's `WebSocket`. */
    constructor?: Function;
    /** Milliseconds before the first new try, at most; 1500. */
    minReconnectionDelay?: number;
    /** Milliseconds before any new try, at most; 10000. */
    maxReconnectionDelay?: number;
    /** How much longer the wait is from one try to the next; 1.3. */
    reconnectionDelayGrowFactor?: number;
    /** Milliseconds that one try may take; 4000. */
    connectionTimeout?: number;
    /** Milliseconds after which a connection counts as good, and waits begin anew; 5000. */
    minUptime?: number;
    /** New tries in a row; no limit. */
    maxRetries?: number;
    /** Tell the console what happens. */
    debug?: boolean;
  }

  /** The interface of a `WebSocket` over one connection after the other. */
  interface ReconnectingSocket extends WebSocket {
    /**
     * Close, for good unless `keepClosed` is false: then the next connection follows.
     *
     * @throws {DOMException} The code is neither 1000 nor from 3000 to 4999.
     */
    close(code?: number, reason?: string, options?: { keepClosed?: boolean }): void;
  }

  class WebSocketBridge {
    /** @param options Kept in `options`, and not used. */
    constructor(options?: object);

    readonly options: object;

    /** The socket of the last `connect`; `null` before. For `addEventListener`, and to close it. */
    socket: ReconnectingSocket | null;

    /** The handler of each stream. */
    streams: Record<string, StreamCallback>;

    default_cb: DefaultCallback | null;

    /**
     * Open a socket, and again whenever it is lost; the one before it is closed.
     *
     * @param url Nothing for the root of the page's host, a path on it, or the whole address.
     * @throws {DOMException} The address or a subprotocol is none.
     */
    connect(url?: string, protocols?: string | string[], options?: ReconnectingOptions): void;

    /**
     * Start to take frames; call `connect` first.
     *
     * @param cb Gets what belongs to no stream.
     */
    listen(cb?: DefaultCallback): void;

    /** Give a stream its handler; the last one counts. */
    demultiplex(stream: string, cb: StreamCallback): void;

    /**
     * Send a value as JSON.
     *
     * @returns Whether there was a connection to send it over; if not, it is dropped.
     * @throws {DOMException} The socket is about to connect.
     */
    send(msg: unknown): boolean;

    /** Return what sends to one stream of a demultiplexer. */
    stream(stream: string): { send(action: unknown): boolean };
  }
}
