"""`channels.exceptions`, `signals`, `log` and `utils`."""

import functools
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from achannels import exceptions as ours
from achannels.legacy import exceptions, log
from achannels.legacy.exceptions import ChannelSocketException, WebsocketCloseException
from achannels.legacy.message import Message
from achannels.legacy.request import AsgiRequest
from achannels.legacy.utils import name_that_thing

HERE = "tests.legacy.test_misc"


def a_function() -> None:
    pass


class AClass:
    def method(self) -> None:
        pass

    @classmethod
    def of_class(cls) -> None:
        pass


class TestExceptions:
    def test_what_consumers_raise_is_ours(self) -> None:
        for name in ("ConsumeLater", "DenyConnection", "RequestTimeout", "RequestAborted"):
            assert getattr(exceptions, name) is getattr(ours, name)

    def test_response_later_is_on_the_request(self) -> None:
        assert AsgiRequest.ResponseLater is exceptions.ResponseLater

    def test_a_socket_exception_has_to_say_what_it_does(self) -> None:
        with pytest.raises(NotImplementedError):
            ChannelSocketException().run(Message({}, "websocket.receive"))

    @pytest.mark.parametrize("code", [None, 1000, 3000, 4999])
    def test_codes(self, code: int | None) -> None:
        assert WebsocketCloseException(code).code == code

    @pytest.mark.parametrize("code", [0, 999, 1001, 2999, 5000, 1000.5])
    def test_codes_out_of_range(self, code: Any) -> None:
        with pytest.raises(ValueError, match="a close code is 1000"):
            WebsocketCloseException(code)

    @pytest.mark.parametrize("code", ["1000", True, [1000]])
    def test_codes_that_are_none(self, code: Any) -> None:
        with pytest.raises(TypeError, match="a close code is an int"):
            WebsocketCloseException(code)

    def test_it_is_for_sockets_only(self) -> None:
        for channel in ("http.request", "mail"):
            with pytest.raises(
                ValueError, match=f"on '{channel}', which is no channel of a socket"
            ):
                WebsocketCloseException().run(Message({"reply_channel": "x"}, channel))
        with pytest.raises(ValueError, match="no channel of a socket"):
            WebsocketCloseException().run(Message({}, "websocket.receive"))


@pytest.mark.usefixtures("loggers")
class TestLog:
    def test_a_logger_writes_to_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        logger = log.setup_logger("test.channels")
        logger.info("said")
        logger.debug("not said")
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(" - INFO - test_misc - said")
        assert not logger.propagate
        (handler,) = (each for each in logger.handlers if isinstance(each, log._Handler))
        assert all(handler in logging.getLogger(name).handlers for name in log.SERVERS)

    @pytest.mark.parametrize(
        ("debug", "logging_config", "given", "said"),
        [
            (False, "logging.config.dictConfig", {}, True),
            (True, "logging.config.dictConfig", {}, False),  # Django says it
            (True, None, {}, True),
            (False, "logging.config.dictConfig", {"version": 1}, False),
        ],
    )
    def test_without_a_set_up_errors_are_on_stderr(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *,
        debug: bool,
        logging_config: str | None,
        given: dict[str, Any],
        said: bool,
    ) -> None:
        there = {"DEBUG": debug, "LOGGING_CONFIG": logging_config, "LOGGING": given}
        # Where Django follows a change of LOGGING, it sets up logging anew.
        monkeypatch.setattr(log, "settings", SimpleNamespace(configured=True, **there))
        logger = logging.getLogger(log.CHANNELS)
        logger.propagate, logger.handlers = False, []
        for _ in range(2):
            log.install()
        logger.error("said")
        logger.info("not said")
        text = capsys.readouterr().err
        assert text.count("said") == (1 if said else 0)
        log.setup_logger(log.CHANNELS)
        logger.error("said")
        assert capsys.readouterr().err.count("said") == 1

    def test_above_verbosity_1_it_writes_more(self, capsys: pytest.CaptureFixture[str]) -> None:
        log.setup_logger("test.channels")
        logger = log.setup_logger("test.channels", verbosity=2)
        logger.debug("said once")
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(" - DEBUG - test_misc - said once")


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (a_function, f"{HERE}.a_function"),
        (AClass, f"{HERE}.AClass"),
        (AClass(), f"{HERE}.AClass"),
        (AClass().method, f"{HERE}.AClass.method"),
        (AClass.of_class, f"{HERE}.AClass.of_class"),
        (len, "builtins.len"),
        (functools.partial(a_function), "functools.partial"),
    ],
)
def test_things_have_names(thing: Any, name: str) -> None:
    assert name_that_thing(thing) == name
