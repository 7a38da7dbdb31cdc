# SPDX-License-Identifier: Apache-2.0
"""The HTTP server of the console: who may come in, what they see and what they press.

It serves the page, streams the state of the desk and the images of the cameras, takes what is
pressed, and passes everything below ``/view/`` on to the server of the 3D view, which listens on
this machine only. A page of another site in the operator's browser gets nowhere: requests must
come from this page (``Origin``) and, without a token, by a name of this machine (``Host``). What
is pressed on a page that has not received the state for a while is refused, but for the emergency
stop: somebody who sees an old state means another robot than there is now.

Streams are WebSockets, since a browser opens six other connections to one server, for all of its
tabs together: three tabs with two streams each would leave none for the emergency stop, which
would wait without a word.

Source: OWASP, "Cross-Site Request Forgery Prevention" (verifying the origin) and "WebSocket
security"; RFC 6265bis for ``SameSite``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
import hmac
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import ipaddress
import json
import logging
import select
import socket
import sys
from threading import Condition, Event, Lock, Thread
import time
from types import UnionType
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from cosmos_policy_ros.control.operations import OPERATIONS, STOP
from cosmos_policy_ros.types import ConfigError
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.protocol import Protocol, Side, State
from websockets.server import ServerProtocol

logger = logging.getLogger(__name__)

STATE_S = 0.2  # [s] between two states that a page gets
FRESH_S = 1.5  # [s] age of the state on a page beyond which it cannot press anything but the stop
COOKIE = 'cosmos_policy_console'
MOST_BYTES = 4096  # of what is pressed
VIEW = '/view'


@dataclass(frozen=True)
class Access:
    """Who may come in, and what for.

    Attributes:
        token: What a visitor has to know; empty where only this machine can reach the console.
        read_only: Whether nothing can be pressed but by who knows ``stop_token``.
        stop_token: What a visitor has to know to press the emergency stop all the same. It lets
            in as ``token`` does; empty where nobody may.
    """

    token: str = ''
    read_only: bool = False
    stop_token: str = ''

    @property
    def tokens(self) -> tuple[str, ...]:
        """Those that let in."""
        return tuple(word for word in (self.token, self.stop_token) if word)


class ImageStream:
    """The newest image as a JPEG file, for all who look."""

    def __init__(self) -> None:
        """Start without an image."""
        self._news = Condition()
        self._jpeg, self._number = b'', 0

    def put(self, jpeg: bytes) -> None:
        """Take a newer image."""
        with self._news:
            self._jpeg, self._number = jpeg, self._number + 1
            self._news.notify_all()

    def follow(self) -> Iterator[bytes]:
        """Yield every image from now on that the reader has time for; empty after a silent second.

        A reader that is slow misses images, and gets none that is old.
        """
        seen = self._number
        while True:
            with self._news:
                if self._number == seen:
                    self._news.wait(timeout=1.0)
                is_new, seen, jpeg = self._number != seen, self._number, self._jpeg
            yield jpeg if is_new else b''


class Door:
    """The server, in threads of its own.

    Attributes:
        url: Where a browser on this machine finds the page, with the token.
        stop_url: The same for who may press the stop of a console for looking only; empty without
            such a token.
        images: What ``/images`` streams.
        start_image: What ``/start`` shows, a JPEG file of a start state; empty for none.
        closing: Set once it is closed.
    """

    def __init__(
        self,
        host: str,
        port: int,
        page: bytes,
        access: Access,
        view_port: int,
        state: Callable[[], dict[str, Any]],
        press: Callable[[str, Any], None],
    ) -> None:
        """Listen.

        Args:
            host: Address to listen at.
            port: Port; 0 takes a free one.
            page: The HTML file.
            access: Who may come in.
            view_port: Port of the 3D view on this machine.
            state: Returns what a page shows, for JSON; called in threads of the server.
            press: Called there with what is pressed (``operation``, ``key``, ``task``, ``speed``,
                ``episodes`` or ``words``) and its value; a ``ValueError`` refuses it.

        Raises:
            ConfigError: The address cannot be listened at, or it can be reached by others and no
                token is wanted.
        """
        if not (access.token or is_loopback(host)):
            msg = f'{host} can be reached by other machines, which needs a token'
            raise ConfigError(msg)
        self.images, self.closing = ImageStream(), Event()
        self.start_image = b''
        self.page, self.access, self.view_port = page, access, view_port
        self.state, self.press = state, press
        self._n_pages, self._lock = 0, Lock()
        try:
            self._server = _Server((host, port), _Visit)
        except OSError as error:
            msg = f'{host}:{port} cannot be listened at ({error.strerror}); give another port'
            raise ConfigError(msg) from error
        self._server.door = self
        self.port = self._server.server_address[1]
        place = 'localhost' if is_loopback(host) or host == '0.0.0.0' else host
        address = f'http://{place}:{self.port}/'
        self.url = f'{address}?token={access.token}' if access.token else address
        self.stop_url = f'{address}?token={access.stop_token}' if access.stop_token else ''
        Thread(target=self._server.serve_forever, name='door', daemon=True).start()

    @property
    def n_pages(self) -> int:
        """How many pages are open."""
        return self._n_pages

    def count_page(self, change: int) -> None:
        """Note that a page was opened (1) or closed (-1)."""
        with self._lock:
            self._n_pages += change

    def close(self) -> None:
        """Listen no more."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a page opens a dozen connections; with 5 a press may wait for 1 s
    door: Door

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a visitor that is gone, or comes at the end; anything else is an error."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError) or self.door.closing.is_set():
            logger.debug('%s is gone: %r', client_address, error)
        else:
            logger.error('%s is not answered', client_address, exc_info=error)


class _Visit(BaseHTTPRequestHandler):
    """One connection of a browser."""

    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True  # which holds small answers back
    timeout = 60.0  # [s] for a request to come; those that stream have no end
    server_version, sys_version = 'cosmos-policy', ''

    @property
    def _door(self) -> Door:
        return cast(_Server, self.server).door

    def do_GET(self) -> None:
        """Answer with the page, a stream, or what the 3D view has."""
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        given = query.pop('token', '')
        if not self._may_enter(given):
            return
        if url.path == '/' and given:
            place = f'/?{urlencode(query)}' if query else '/'
            cookie = self._cookie(given)
            self._send(HTTPStatus.SEE_OTHER, b'', Location=place, Set_Cookie=cookie)
        elif url.path == '/':
            self._send(HTTPStatus.OK, self._door.page, Content_Type='text/html; charset=utf-8')
        elif url.path == '/state':
            self._stream_states()
        elif url.path == '/images':
            self._stream_images()
        elif url.path == '/start' and self._door.start_image:
            self._send(HTTPStatus.OK, self._door.start_image, Content_Type='image/jpeg')
        elif url.path == VIEW or url.path.startswith(f'{VIEW}/'):
            self._pass_on()
        else:
            self._send(HTTPStatus.NOT_FOUND, b'there is no such page')

    def do_POST(self) -> None:
        """Do what was pressed."""
        length = self.headers.get('Content-Length', '')
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.close_connection = True
            self._send(HTTPStatus.BAD_REQUEST, b'too long')
            return
        body = self.rfile.read(int(length))
        if not self._may_enter(''):
            return
        if self.path != '/press':
            self._send(HTTPStatus.NOT_FOUND, b'there is no such page')
            return
        try:
            kind, value, seen = _read_press(body)
            self._refuse_old(kind, value, seen)
            self._door.press(kind, value)
        except ValueError as error:
            self._send(HTTPStatus.CONFLICT, str(error).encode())
            return
        self._send(HTTPStatus.OK, b'')

    def log_message(self, form: str, *values: Any) -> None:
        """Log no requests: pages make many of them."""

    def _may_enter(self, given: str) -> bool:
        """Return whether a request may be answered; if not, answer it."""
        door, host = self._door, self.headers.get('Host', '')
        origin = self.headers.get('Origin')
        token, tokens = door.access.token, door.access.tokens
        if origin is not None and urlsplit(origin).netloc != host:
            reason = f'requests of {origin} are refused'
        elif not token and not _is_loopback_name(host):
            reason = f'{host} is no name of this machine'
        elif token and not any(_is_one(word, tokens) for word in (given, self._known())):
            reason = 'open the address with the token that the console printed'
        else:
            return True
        self.close_connection = True
        self._send(HTTPStatus.FORBIDDEN, reason.encode())
        return False

    def _known(self) -> str:
        """Return the token in the cookie, empty where there is none."""
        try:
            cookie = SimpleCookie(self.headers.get('Cookie', ''))
        except CookieError:
            return ''
        return cookie[self._cookie_name()].value if self._cookie_name() in cookie else ''

    def _cookie_name(self) -> str:
        """Return the name of the cookie; browsers share cookies among the ports of a machine."""
        return f'{COOKIE}_{self._door.port}'

    def _cookie(self, given: str) -> str:
        """Return the cookie of a visitor with a token; one that is none of ours is not kept."""
        token = given if _is_one(given, self._door.access.tokens) else ''
        return f'{self._cookie_name()}={token}; HttpOnly; SameSite=Strict; Path=/'

    def _may_stop(self) -> bool:
        """Return whether this visitor may press the emergency stop."""
        access = self._door.access
        tokens = (access.stop_token,) if access.stop_token else ()
        return not access.read_only or _is_one(self._known(), tokens)

    def _refuse_old(self, kind: str, value: Any, seen: float) -> None:
        """Refuse what must not be pressed here, or is pressed on what is no longer so.

        Raises:
            ValueError: It is refused.
        """
        age_s = time.monotonic() - seen
        is_stop = (kind == 'operation' and value == STOP) or (
            kind == 'key' and value in OPERATIONS[STOP].keys
        )
        if self._door.access.read_only and not (is_stop and self._may_stop()):
            msg = 'this console is for looking only'
            raise ValueError(msg)
        if not is_stop and not 0.0 <= age_s <= FRESH_S:
            msg = f'not done: what the page showed was {age_s:.1f} s old'
            raise ValueError(msg)

    def _send(self, status: HTTPStatus, body: bytes, **headers: str) -> None:
        self.send_response(status)
        headers.setdefault('Content_Type', 'text/plain; charset=utf-8')
        for name, text in (_SAFE | headers).items():
            self.send_header(name.replace('_', '-'), text)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _open_socket(self) -> Protocol | None:
        """Answer the handshake of a WebSocket; None where it is none, which is answered too."""
        self.close_connection = True
        asked = Request(self.path, Headers(self.headers.items()))
        answer = ServerProtocol().accept(asked)
        self.wfile.write(answer.serialize())
        is_one = answer.status_code == HTTPStatus.SWITCHING_PROTOCOLS
        return Protocol(Side.SERVER, max_size=MOST_BYTES) if is_one else None

    def _flush(self, stream: Protocol) -> None:
        """Send what a WebSocket has to send."""
        self.wfile.write(b''.join(stream.data_to_send()))

    def _is_open(self, stream: Protocol) -> bool:
        """Return whether a WebSocket is open; nothing but its end is expected on it."""
        while select.select([self.connection], [], [], 0.0)[0]:
            if not (read := self.connection.recv(MOST_BYTES)):
                return False
            stream.receive_data(read)
            stream.events_received()
            self._flush(stream)  # an answer to its end
        return stream.state is State.OPEN

    def _stream_states(self) -> None:
        """Send the state again and again, each with the time by which its age is known."""
        if (stream := self._open_socket()) is None:
            return
        door = self._door
        rights = {'read_only': door.access.read_only, 'may_stop': self._may_stop()}
        door.count_page(1)
        try:
            while self._is_open(stream):
                state = door.state() | rights | {'seen': time.monotonic()}
                stream.send_text(json.dumps(state).encode())
                self._flush(stream)
                time.sleep(STATE_S)
        finally:
            door.count_page(-1)

    def _stream_images(self) -> None:
        """Send every image that the browser has time for."""
        if (stream := self._open_socket()) is None:
            return
        for jpeg in self._door.images.follow():
            if not self._is_open(stream):
                return
            if jpeg:
                stream.send_binary(jpeg)
                self._flush(stream)

    def _pass_on(self) -> None:
        """Connect the browser with the server of the 3D view, and pass on what both send."""
        self.close_connection = True
        lines = [f'GET {self.path[len(VIEW) :] or "/"} HTTP/1.1']
        lines += [f'{name}: {text}' for name, text in self.headers.items()]
        if 'Upgrade' not in self.headers:
            lines.append('Connection: close')
        with socket.create_connection(('127.0.0.1', self._door.view_port)) as view:
            view.sendall('\r\n'.join([*lines, '', '']).encode('latin-1'))
            self.connection.settimeout(None)
            other = {self.connection: view, view: self.connection}
            while True:
                for side in select.select([*other], [], [])[0]:
                    if not (read := side.recv(65536)):
                        return
                    other[side].sendall(read)


_SAFE = {  # headers of every answer: nobody frames the page, guesses types or keeps anything
    'X_Frame_Options': 'SAMEORIGIN',
    'X_Content_Type_Options': 'nosniff',
    'Referrer_Policy': 'no-referrer',
    'Cache_Control': 'no-store',
}


def is_loopback(host: str) -> bool:
    """Return whether an address to listen at is reached by this machine alone."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_one(given: str, tokens: Iterable[str]) -> bool:
    """Return whether a token is one of those, in a time that tells nothing."""
    return any(hmac.compare_digest(given.encode(), token.encode()) for token in tokens)


def _is_loopback_name(host: str) -> bool:
    """Return whether the name that a browser calls, with or without a port, is this machine's."""
    return is_loopback(urlsplit(f'//{host}').hostname or '')


def _read_press(body: bytes) -> tuple[str, Any, float]:
    """Return what is pressed, its value, and the time of the state on the page.

    Raises:
        ValueError: It is nothing that can be pressed.
    """
    try:
        pressed = json.loads(body)
        seen = float(pressed['seen'])
        [(kind, value)] = ((k, v) for k, v in pressed.items() if k != 'seen')
    except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
        msg = f'not one thing that is pressed, with the time of the state: {error!r}'
        raise ValueError(msg) from error
    kinds: dict[str, type | UnionType] = {
        'operation': str,
        'key': str,
        'task': str,
        'speed': int | float,
        'episodes': int,
        'words': dict,
    }
    if isinstance(value, bool) or not isinstance(value, kinds.get(kind, ())):
        msg = f'{kind} {value!r} cannot be pressed; there are {[*kinds]}'
        raise ValueError(msg)
    return kind, value, seen
