"""A download that is given seconds to be answered is given up in time, asked for once, and taken up where it got to."""

from __future__ import annotations

import email.message
import hashlib
import io
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

import data.downloads.fetch as fetching
from data.downloads.fetch import NoAnswer, Remote, fetch
from synthworth.errors import UserError

CONTENT = bytes(range(250)) * 20
REMOTE = Remote("https://host/film.bin", "film.bin", f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")


class Answer(io.BytesIO):
    """What a server sends: the whole file from its beginning, of which `n` bytes come before the connection drops."""

    status = 200

    def __init__(self, n: int = len(CONTENT)) -> None:
        super().__init__(CONTENT[:n])
        self.headers = email.message.Message()
        self.headers["Content-Length"] = str(len(CONTENT))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let the network be a function of no arguments; returns the list of addresses that are asked."""

    def ask(answer: Callable[[], Any]) -> list[str]:
        seen: list[str] = []

        class Opener:
            def open(self, request: urllib.request.Request, timeout: float) -> Any:
                seen.append(request.full_url)
                return answer()

        monkeypatch.setattr(fetching, "_opener", Opener)
        return seen

    monkeypatch.setattr(fetching, "WAITS", (0.0, 0.0, 0.0))
    return ask


def refuse(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


def test_a_host_that_answers_in_time_is_heard(asked: Callable[..., list[str]], tmp_path) -> None:
    seen = asked(Answer)
    assert fetch(REMOTE, tmp_path, within=5).read_bytes() == CONTENT
    assert seen == [REMOTE.address]


def test_a_host_that_hangs_is_given_up(asked: Callable[..., list[str]], tmp_path) -> None:
    def hang() -> Any:
        time.sleep(2)
        return Answer()

    seen = asked(hang)
    with pytest.raises(NoAnswer, match=r"^cannot download https://host/film\.bin: no answer within 0\.05 s$"):
        fetch(REMOTE, tmp_path, within=0.05)
    assert len(seen) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [TimeoutError("timed out"), urllib.error.URLError(TimeoutError("timed out"))])
def test_a_connection_that_times_out_is_no_answer(asked: Callable[..., list[str]], tmp_path, error: Exception) -> None:
    seen = asked(refuse(error))
    with pytest.raises(NoAnswer):
        fetch(REMOTE, tmp_path, within=5)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        urllib.error.URLError("no route"),
        urllib.error.HTTPError(REMOTE.address, 503, "busy", email.message.Message(), io.BytesIO()),
        urllib.error.HTTPError(REMOTE.address, 404, "gone", email.message.Message(), io.BytesIO()),
    ],
)
def test_a_host_that_refuses_is_asked_once(asked: Callable[..., list[str]], tmp_path, error: Exception) -> None:
    seen = asked(refuse(error))
    with pytest.raises(UserError, match="cannot download https://host") as caught:
        fetch(REMOTE, tmp_path, within=5)
    assert not isinstance(caught.value, NoAnswer)
    assert len(seen) == 1


def test_without_seconds_a_host_that_refuses_is_asked_again(asked: Callable[..., list[str]], tmp_path) -> None:
    seen = asked(refuse(ConnectionResetError("reset")))
    with pytest.raises(UserError):
        fetch(REMOTE, tmp_path)
    assert len(seen) == 1 + len(fetching.WAITS)


def test_a_transfer_that_got_somewhere_is_taken_up_again(
    asked: Callable[..., list[str]], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "CHUNK", 1000)
    answers = [Answer(2500), Answer(500)]
    seen = asked(lambda: answers.pop(0))
    with pytest.raises(UserError, match="the 500 bytes that came are kept"):
        fetch(REMOTE, tmp_path, within=5)
    assert len(seen) == 2
    asked(Answer)
    assert fetch(REMOTE, tmp_path, within=5).read_bytes() == CONTENT
