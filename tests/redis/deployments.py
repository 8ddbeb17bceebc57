"""Several servers that work together: a cluster of masters, and a master that Sentinels watch."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from tests.redis.servers import Server, execute, free_port, wait_until

SLOTS = 16384


class _Group:
    """Servers that are started and closed together."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = list(servers)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server)
            self._form()
            stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self.servers:
            server.close()

    def _form(self) -> None:
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
                        f"cluster-port {free_port()}",
                        "cluster-allow-replica-migration no",
                    ],
                )
                for _ in range(4 if replica else 3)
            ]
        )
        self.masters = self.servers[:3]
        self._ids: dict[int, str] = {}

    @property
    def url(self) -> str:
        """Its address: one of its nodes is enough."""
        return f"cluster://127.0.0.1:{self.masters[0].port}"

    def node_id(self, server: Server) -> str:
        """Return what the cluster calls a server."""
        return self._ids[server.port]

    def owner(self, slot: int) -> Server:
        """Return the master that holds a slot, as the other nodes see it too."""
        owners = {self._owner(slot, server) for server in self.masters if self._runs(server)}
        assert len(owners) == 1, owners
        return next(server for server in self.servers if server.port in owners)

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

    def _form(self) -> None:
        first = self.masters[0]
        for server in self.servers[1:]:
            cluster_port = int(server.call("CONFIG", "GET", "cluster-port")[1])
            first.call("CLUSTER", "MEET", "127.0.0.1", server.port, cluster_port)
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
            running = [server for server in self.masters if self._runs(server)]
            return all(
                self._owner(slot, server) == target.port
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

    def _runs(self, server: Server) -> bool:
        return server._process is not None and server._process.poll() is None


class Sentinels(_Group):
    """A master, a replica, and three Sentinels that call the master `main`.

    Attributes:
        data: Master and replica, in the order they were started.
        sentinels: The Sentinels.
    """

    def __init__(self, kind: str) -> None:
        master = Server(kind, ["repl-diskless-sync-delay 0"])
        replica = Server(kind, [f"replicaof 127.0.0.1 {master.port}", "repl-diskless-sync-delay 0"])
        config = "\n".join(
            [
                f"sentinel monitor main 127.0.0.1 {master.port} 2",
                "sentinel down-after-milliseconds main 500",
                "sentinel failover-timeout main 3000",
                "",
            ]
        )
        self.data = [master, replica]
        self.sentinels = [
            Server(kind, (), {"sentinel.conf": config}, sentinel=True) for _ in range(3)
        ]
        super().__init__([*self.data, *self.sentinels])

    @property
    def url(self) -> str:
        """Its address."""
        places = ",".join(f"127.0.0.1:{server.port}" for server in self.sentinels)
        return f"sentinel://{places}/main"

    @property
    def master(self) -> Server:
        """The server that all Sentinels call the master."""
        ports = {self._told(sentinel) for sentinel in self.sentinels}
        assert len(ports) == 1, ports
        return next(server for server in self.data if server.port in ports)

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
                {self._told(sentinel) for sentinel in self.sentinels} == {new.port}
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
