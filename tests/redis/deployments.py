"""Several servers that work together: a cluster of masters, and a master that Sentinels watch."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from tests.redis.proxy import in_thread
from tests.redis.servers import Server, execute, free_port, wait_until

SLOTS = 16384


class _Group:
    """Servers that are started and closed together; clients see each behind a proxy that is late."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = list(servers)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            proxies = stack.enter_context(in_thread(*(each.port for each in self.servers)))
            for server, proxy in zip(self.servers, proxies, strict=True):
                server.seen_port = proxy.port
                self._prepare(server)
            for server in self.servers:
                stack.enter_context(server)
            self._form()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _prepare(self, server: Server) -> None:
        """Have a server know under which port it is seen, before it is started."""
        raise NotImplementedError

    def _form(self) -> None:
        """Wait until the servers that were started work together."""
        raise NotImplementedError


class Cluster(_Group):
    """A cluster of three masters with a third of the slots each, and one replica if asked for.

    Args:
        kind: A key of `BINARIES`.
        replica: Whether the first master gets a replica, the fourth of `servers`.

    Attributes:
        masters: In the order of their slots.
    """

    def __init__(self, kind: str, *, replica: bool = False) -> None:
        super().__init__(
            [
                Server(
                    kind,
                    [
                        "cluster-enabled yes",
                        "cluster-node-timeout 1000",
                        "cluster-replica-validity-factor 0",
                        "repl-diskless-sync-delay 0",
                        "cluster-allow-replica-migration no",
                    ],
                )
                for _ in range(4 if replica else 3)
            ]
        )
        self.masters = self.servers[:3]
        self._ids: dict[int, str] = {}
        self._buses: dict[int, int] = {}

    @property
    def url(self) -> str:
        """Its address: one of its nodes is enough."""
        return f"cluster://127.0.0.1:{self.masters[0].seen_port}"

    def node_id(self, server: Server) -> str:
        """Return what the cluster calls a server."""
        return self._ids[server.port]

    def owner(self, slot: int) -> Server:
        """Return the master that holds a slot, as the other nodes see it too."""
        owners = {self._owner(slot, server) for server in self.masters if server.runs}
        assert len(owners) == 1, owners
        return next(server for server in self.servers if server.seen_port in owners)

    def move_by_key(
        self, slot: int, target: Server, between: Callable[[], None] = lambda: time.sleep(0.02)
    ) -> None:
        """Move a slot the way every version can: key by key, calling `between` after each."""
        source = self.owner(slot)
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", self.node_id(source))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", self.node_id(target))
        between()
        with source.client() as client:
            while keys := execute(client, "CLUSTER", "GETKEYSINSLOT", slot, 1):
                command = ("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
                execute(client, *command)
                between()
        for server in (target, source, *self.masters):
            server.call("CLUSTER", "SETSLOT", slot, "NODE", self.node_id(target))
        self._wait_for_owner(slot, target)

    def move_at_once(self, slot: int, target: Server) -> None:
        """Move a slot with all its keys in one step; Valkey 9 and later."""
        source = self.owner(slot)
        source.call(
            "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.node_id(target)
        )
        self._wait_for_owner(slot, target)

    def fail_over(self) -> Server:
        """Kill the first master and return its replica when that has its slots."""
        slot = 0
        self.masters[0].kill()
        replica = self.servers[3]
        self.masters = [replica, *self.masters[1:]]
        self._wait_for_owner(slot, replica)
        return replica

    def _prepare(self, server: Server) -> None:
        bus = self._buses[server.port] = free_port()
        server.configure(
            f"cluster-port {bus}",
            f"cluster-announce-port {server.seen_port}",
            f"cluster-announce-bus-port {bus}",
            "cluster-announce-ip 127.0.0.1",
        )

    def _form(self) -> None:
        first = self.masters[0]
        for server in self.servers[1:]:
            first.call("CLUSTER", "MEET", "127.0.0.1", server.port, self._buses[server.port])
        self._ids = {server.port: server.call("CLUSTER", "MYID") for server in self.servers}
        for part, server in enumerate(self.masters):
            begin, end = part * SLOTS // 3, (part + 1) * SLOTS // 3 - 1
            server.call("CLUSTER", "ADDSLOTSRANGE", begin, end)
        wait_until(lambda: all(self._knows(server) for server in self.servers), "the cluster")
        if len(self.servers) > 3:
            self.servers[3].call("CLUSTER", "REPLICATE", self.node_id(first))
            wait_until(
                lambda: self.servers[3].info("replication").get("master_link_status") == "up",
                "replication",
            )

    def _knows(self, server: Server) -> bool:
        info = str(server.call("CLUSTER", "INFO"))
        nodes = f"cluster_known_nodes:{len(self.servers)}"
        return "cluster_state:ok" in info and nodes in info

    def _wait_for_owner(self, slot: int, target: Server) -> None:
        def arrived() -> bool:
            running = [server for server in self.masters if server.runs]
            return all(
                self._owner(slot, server) == target.seen_port
                and "cluster_state:ok" in str(server.call("CLUSTER", "INFO"))
                for server in running
            )

        wait_until(arrived, f"the move of slot {slot}")

    def _owner(self, slot: int, server: Server) -> int | None:
        for begin, end, master, *_ in _slots(server):
            if begin <= slot <= end:
                port: int = master[1]
                return port
        return None


class Sentinels(_Group):
    """A master, a replica, and three Sentinels that call the master `main`.

    Attributes:
        data: Master and replica, in the order they were started.
        sentinels: The Sentinels.
    """

    def __init__(self, kind: str) -> None:
        self.data = [Server(kind, ["repl-diskless-sync-delay 0"]) for _ in range(2)]
        self.sentinels = [Server(kind, (), {"sentinel.conf": ""}, sentinel=True) for _ in range(3)]
        super().__init__([*self.data, *self.sentinels])

    @property
    def url(self) -> str:
        """Its address."""
        places = ",".join(f"127.0.0.1:{server.seen_port}" for server in self.sentinels)
        return f"sentinel://{places}/main"

    @property
    def master(self) -> Server:
        """The server that all Sentinels call the master."""
        ports = {self._told(sentinel) for sentinel in self.sentinels}
        assert len(ports) == 1, ports
        return next(server for server in self.data if server.seen_port in ports)

    def fail_over(self) -> Server:
        """Kill the master; return the new one when all Sentinels know it and it takes writes."""
        old = self.master
        old.kill()
        new = next(server for server in self.data if server is not old)
        self.wait_for(new)
        return new

    def wait_for(self, new: Server) -> None:
        """Wait until all Sentinels know a new master and it takes writes."""
        wait_until(
            lambda: (
                {self._told(sentinel) for sentinel in self.sentinels} == {new.seen_port}
                and new.info("replication")["role"] == "master"
            ),
            "the failover",
            30,
        )

    def wait_for_replica(self, server: Server) -> None:
        """Wait until a server that came back follows the master."""
        wait_until(
            lambda: server.info("replication").get("master_link_status") == "up",
            "the return of the old master as a replica",
            30,
        )

    def _prepare(self, server: Server) -> None:
        master, replica = self.data
        if server in self.data:
            server.configure(
                f"replica-announce-port {server.seen_port}", "replica-announce-ip 127.0.0.1"
            )
        if server is replica:
            server.configure(f"replicaof 127.0.0.1 {master.seen_port}")
        if server in self.sentinels:
            (server.directory / "sentinel.conf").write_text(
                f"sentinel monitor main 127.0.0.1 {master.seen_port} 2\n"
                "sentinel down-after-milliseconds main 500\n"
                "sentinel failover-timeout main 3000\n"
            )

    def _form(self) -> None:
        wait_until(
            lambda: self.data[1].info("replication").get("master_link_status") == "up",
            "replication",
        )
        wait_until(lambda: all(self._is_ready(each) for each in self.sentinels), "Sentinels", 30)

    def _is_ready(self, sentinel: Server) -> bool:
        flat = sentinel.call("SENTINEL", "MASTER", "main")
        told = dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat
        return int(told["num-slaves"]) == 1 and int(told["num-other-sentinels"]) == 2

    def _told(self, sentinel: Server) -> int | None:
        found = sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return int(found[1]) if found else None


def _slots(server: Server) -> list[Any]:
    """Return `CLUSTER SLOTS` as the server sends it."""
    with server.client() as client:
        client.response_callbacks.pop("CLUSTER SLOTS", None)
        found: list[Any] = execute(client, "CLUSTER SLOTS")
    return found


__all__ = ["Cluster", "Sentinels"]
