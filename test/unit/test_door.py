# SPDX-License-Identifier: Apache-2.0
"""Who comes into the console, and what is done of what is pressed there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import http.client
import json
import logging
import socket
import threading
import time
from typing import Any

import pytest

pytest.importorskip('websockets')

from cosmos_policy_ros.console.door import Access, Door
from cosmos_policy_ros.types import ConfigError
from websockets.sync.client import ClientConnection, connect

PAGE = b'<p>the console</p>'


class Opened:
    """A door with what was pressed behind it, and a visitor."""

    def __init__(self, access: Access, host: str = '127.0.0.1', view_port: int = 0) -> None:
        """Open it."""
        self.pressed: list[tuple[str, Any]] = []
        self.door = Door(host, 0, PAGE, access, view_port, lambda: {'phase': 'ready'}, self._press)

    def _press(self, kind: str, value: Any) -> None:
        if value == 'nonsense':
            msg = 'no such thing'
            raise ValueError(msg)
        self.pressed.append((kind, value))

    def visit(
        self, method: str, path: str, body: bytes = b'', **headers: str
    ) -> http.client.HTTPResponse:
        """Return the answer to a request."""
        connection = http.client.HTTPConnection('127.0.0.1', self.door.port, timeout=5.0)
        connection.request(method, path, body, headers)
        return connection.getresponse()

    def listen(self, path: str) -> ClientConnection:
        """Return a WebSocket, as a page opens it."""
        return connect(f'ws://127.0.0.1:{self.door.port}{path}')

    def enter(self, token: str) -> dict[str, str]:
        """Return the headers of a visitor who has opened the address with a token."""
        answer = self.visit('GET', f'/?token={token}', Host='localhost')
        return {'Cookie': answer.headers['Set-Cookie'].partition(';')[0]}

    def press(self, age_s: float = 0.0, headers: dict[str, str] | None = None, **what: Any) -> int:
        """Press something on a state of an age, and return the status of the answer."""
        body = json.dumps({**what, 'seen': time.monotonic() - age_s}).encode()
        return self.visit('POST', '/press', body, **headers or {}).status


@contextmanager
def opened(**options: Any) -> Iterator[Opened]:
    """Give a door that is closed at the end."""
    it = Opened(options.pop('access', Access()), **options)
    try:
        yield it
    finally:
        it.door.close()


def test_the_page_comes_and_nobody_may_frame_it() -> None:
    """Else another page could lay itself over the buttons."""
    with opened() as it:
        answer = it.visit('GET', '/')
        assert answer.read() == PAGE
        assert answer.headers['X-Frame-Options'] == 'SAMEORIGIN'
        assert it.visit('GET', '/elsewhere').status == 404


def test_what_is_pressed_is_done() -> None:
    """One thing at a time."""
    with opened() as it:
        assert it.press(operation='enable') == 200
        assert it.press(key=' ') == 200
        assert it.press(speed=1) == 200
        assert it.press(episodes=5) == 200
        assert it.press(words={'note': 'x'}) == 200
        assert it.pressed == [
            ('operation', 'enable'), ('key', ' '), ('speed', 1), ('episodes', 5),
            ('words', {'note': 'x'}),
        ]  # fmt: skip


def test_a_start_state_is_shown_where_there_is_one() -> None:
    """As the file that it is."""
    with opened() as it:
        assert it.visit('GET', '/start').status == 404
        it.door.start_image = b'of the start'
        answer = it.visit('GET', '/start')
        assert (answer.read(), answer.headers['Content-Type']) == (b'of the start', 'image/jpeg')


def test_what_cannot_be_pressed_is_refused_with_a_reason() -> None:
    """Unknown kinds, wrong types, two at once, no time, and what the desk refuses."""
    with opened() as it:
        assert it.press(power='on') == 409
        assert it.press(speed='fast') == 409
        assert it.press(speed=True) == 409
        assert it.press(episodes='all') == 409
        assert it.press(words='dropped') == 409
        assert it.press(key=' ', operation='enable') == 409
        assert it.visit('POST', '/press', b'{"key": " "}').status == 409
        assert it.visit('POST', '/press', b'not json').status == 409
        answer = it.visit('POST', '/press', json.dumps({'task': 'nonsense', 'seen': 1e9}).encode())
        assert answer.status == 409
        assert it.press(operation='nonsense') == 409
        assert it.visit('POST', '/press', b' ' * 5000).status == 400
        assert it.pressed == []


def test_nothing_but_the_stop_is_pressed_on_an_old_state() -> None:
    """A click that hung in a broken connection must not move arms when that is mended."""
    with opened() as it:
        assert it.press(age_s=2.0, operation='enable') == 409
        assert it.press(age_s=2.0, key=' ') == 409
        assert it.press(age_s=-100.0, operation='enable') == 409
        assert it.press(age_s=float('nan'), operation='enable') == 409
        assert it.press(age_s=600.0, operation='stop') == 200
        assert it.press(age_s=600.0, key='Escape') == 200
        assert it.pressed == [('operation', 'stop'), ('key', 'Escape')]


def test_a_page_of_another_site_gets_nowhere() -> None:
    """Neither by its origin, nor by a name of its own for this machine."""
    with opened() as it:
        port = it.door.port
        assert it.press(headers={'Origin': 'https://evil.example'}, operation='stop') == 403
        assert it.press(headers={'Origin': 'null'}, operation='stop') == 403
        assert it.press(headers={'Origin': 'http://localhost:1'}, operation='stop') == 403
        assert it.visit('GET', '/', Host=f'evil.example:{port}').status == 403
        assert it.visit('GET', '/state', Host=f'evil.example:{port}').status == 403
        assert it.visit('GET', '/view', Host=f'evil.example:{port}').status == 403
        mine = {'Host': f'localhost:{port}', 'Origin': f'http://localhost:{port}'}
        assert it.press(headers=mine, operation='stop') == 200
        forwarded = {'Host': 'localhost:9000', 'Origin': 'http://localhost:9000'}
        assert it.press(headers=forwarded, operation='stop') == 200


def test_a_console_that_others_can_reach_wants_a_token() -> None:
    """Once in the address, then in a cookie that no script reads and no other site sends."""
    with pytest.raises(ConfigError, match='needs a token'):
        Opened(Access(), host='0.0.0.0')
    with opened(access=Access('secret'), host='0.0.0.0') as it:
        assert it.door.url == f'http://localhost:{it.door.port}/?token=secret'
        assert it.visit('GET', '/', Host='robot').status == 403
        assert it.visit('GET', '/?token=wrong', Host='robot').status == 403
        assert it.visit('GET', '/?token=%C3%A9', Host='robot').status == 403
        assert it.press(operation='stop') == 403
        answer = it.visit('GET', '/?token=secret&view=off', Host='robot')
        assert (answer.status, answer.headers['Location']) == (303, '/?view=off')
        cookie, *limits = answer.headers['Set-Cookie'].split('; ')
        assert limits == ['HttpOnly', 'SameSite=Strict', 'Path=/']
        assert it.visit('GET', '/', Host='robot', Cookie=cookie).read() == PAGE
        assert it.press(headers={'Cookie': cookie}, operation='stop') == 200
        assert it.press(headers={'Cookie': f'{cookie}r'}, operation='stop') == 403


def test_nothing_can_be_pressed_where_people_only_look() -> None:
    """Not even the stop: a page of people whom nobody knows could stop a robot all day."""
    with opened(access=Access(read_only=True, stop_token='operator')) as it:
        assert it.press(operation='stop') == 409
        assert it.press(key='Escape') == 409
        assert it.visit('GET', '/').status == 200
        assert it.pressed == []


def test_the_stop_alone_is_for_who_has_the_operators_token() -> None:
    """Who has the token of those who look has not."""
    with opened(access=Access('looker', True, 'operator'), host='0.0.0.0') as it:
        assert it.door.stop_url == f'http://localhost:{it.door.port}/?token=operator'
        looker, operator = it.enter('looker'), it.enter('operator')
        assert it.visit('GET', '/', **looker).status == 200
        assert it.press(headers=looker, operation='stop') == 409
        assert it.press(headers=operator, operation='enable') == 409
        assert it.press(headers=operator, task='lift') == 409
        assert it.press(headers=operator, operation='stop') == 200
        assert it.press(headers=operator, key='Escape') == 200
        assert it.pressed == [('operation', 'stop'), ('key', 'Escape')]


def test_the_operators_token_is_wanted_where_looking_needs_none() -> None:
    """What somebody gives instead is not kept."""
    with opened(access=Access(read_only=True, stop_token='operator')) as it:
        assert it.enter('a%0d%0ab') == {'Cookie': f'cosmos_policy_console_{it.door.port}='}
        assert it.press(headers=it.enter('guess'), operation='stop') == 409
        assert it.press(headers=it.enter('operator'), operation='stop') == 200


def test_states_come_again_and_again_while_a_page_is_open() -> None:
    """Each with the time by which its age is known."""
    with opened() as it:
        with it.listen('/state') as stream:
            first, second = json.loads(stream.recv(5.0)), json.loads(stream.recv(5.0))
            assert first['phase'] == 'ready'
            assert (first['read_only'], first['may_stop']) == (False, True)
            assert 0.0 < second['seen'] - first['seen'] < 1.0
            assert it.door.n_pages == 1
        end_s = time.monotonic() + 10.0
        while it.door.n_pages:
            assert time.monotonic() < end_s
            time.sleep(0.01)


def test_a_stream_is_no_page() -> None:
    """It would take a connection that the emergency stop needs."""
    with opened() as it:
        assert it.visit('GET', '/state').status == 426
        assert it.visit('GET', '/images').status == 426
        assert it.door.n_pages == 0


def test_a_stream_answers_what_a_browser_asks_of_it() -> None:
    """Whether it is there, and its end; anything else is taken for nothing."""
    with opened() as it, it.listen('/state') as stream:
        assert stream.ping().wait(5.0)
        stream.send('nobody reads this')
        assert json.loads(stream.recv(5.0))['phase'] == 'ready'
        stream.close()
        assert stream.close_code == 1000
        assert stream.protocol.close_rcvd is not None


def test_a_state_that_cannot_be_told_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The page shows that the connection is cut, and nobody else would know why."""
    with opened() as it, caplog.at_level(logging.ERROR):
        it.door.state = lambda: {'phase': object()}
        with it.listen('/state'):  # open until then: one that is gone is told nothing
            end_s = time.monotonic() + 10.0
            while not caplog.records:
                assert time.monotonic() < end_s
                time.sleep(0.01)
    assert 'not JSON serializable' in str(caplog.records[0].exc_info)


def test_images_come_as_they_are_made() -> None:
    """Whatever their size."""
    with opened() as it, it.listen('/images') as stream:
        threading.Timer(0.2, it.door.images.put, (b'JPEG',)).start()
        assert stream.recv(5.0) == b'JPEG'
        it.door.images.put(b'J' * 300)
        assert stream.recv(5.0) == b'J' * 300
        it.door.images.put(b'J' * 70_000)
        assert stream.recv(5.0) == b'J' * 70_000


def test_the_view_is_reached_through_the_door() -> None:
    """Below a path that its server does not know, and in both directions."""
    request = b'GET /view/a?b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n'
    view = socket.create_server(('127.0.0.1', 0))
    with view, opened(view_port=view.getsockname()[1]) as it:
        visitor = socket.create_connection(('127.0.0.1', it.door.port))
        visitor.sendall(request)
        inside, _ = view.accept()
        assert inside.recv(4096).startswith(b'GET /a?b HTTP/1.1\r\nHost: localhost\r\n')
        inside.sendall(b'HTTP/1.1 101 Switching Protocols\r\n\r\n')
        assert visitor.recv(4096).startswith(b'HTTP/1.1 101')
        visitor.sendall(b'a frame')
        assert inside.recv(4096) == b'a frame'
        visitor.close()
        assert inside.recv(4096) == b''


def test_a_port_that_is_taken_is_named() -> None:
    """With what to do."""
    with opened() as it, pytest.raises(ConfigError, match='give another port'):
        Door('127.0.0.1', it.door.port, PAGE, Access(), 0, dict, lambda kind, value: None)
