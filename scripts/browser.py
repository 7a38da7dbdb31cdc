# SPDX-License-Identifier: Apache-2.0
"""A page in headless Chromium, driven over its debugging port; needs only ``websockets``.

Source: Chrome DevTools Protocol, domains Page, Runtime and Input.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
import itertools
import json
from pathlib import Path
import shutil
import subprocess
import tempfile
import time
from typing import Any

from websockets.sync.client import ClientConnection, connect

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome')
START_S = 30.0  # [s] that a browser may take to start
KEY_CODES = {'Tab': 9, 'Escape': 27, ' ': 32, 'ArrowLeft': 37, 'ArrowRight': 39}


def find_browser() -> str | None:
    """Return the program of a browser, None where none is installed."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class Page:
    """One page of a browser.

    Attributes:
        process: Number of the process of the browser.
    """

    def __init__(self, socket: ClientConnection, process: int) -> None:
        """Take a connection to the debugger of the page."""
        self.process, self._socket, self._numbers = process, socket, itertools.count(1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a method of the protocol.

        Raises:
            RuntimeError: The browser refuses it.
        """
        number = next(self._numbers)
        self._socket.send(json.dumps({'id': number, 'method': method, 'params': parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60.0))
            if message.get('id') == number:
                if 'error' in message:
                    raise RuntimeError(f'{method}: {message["error"]["message"]}')
                return dict(message['result'])

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call('Page.navigate', url=url)

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression; promises are waited for.

        Raises:
            RuntimeError: It throws.
        """
        result = self.call(
            'Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True
        )
        if 'exceptionDetails' in result:
            raise RuntimeError(f'{script}: {result["exceptionDetails"]}')
        return result['result'].get('value')

    def wait_for(self, script: str, timeout_s: float = 60.0) -> Any:
        """Return the value of an expression once it is true.

        Raises:
            TimeoutError: It is not in time.
        """
        end_s = time.monotonic() + timeout_s
        while not (value := self.run(script)):
            if time.monotonic() > end_s:
                raise TimeoutError(f'not within {timeout_s} s: {script}')
            time.sleep(0.05)
        return value

    def click(self, selector: str) -> None:
        """Click the middle of an element as a mouse does, once nothing fixed covers it."""
        box = self.run(
            f'(() => {{const e = document.querySelector({selector!r});'
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            'return {x: b.x + b.width / 2, y: b.y + b.height / 2}})()'
        )
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, button='left', clickCount=1, **box)

    def press(self, key: str) -> None:
        """Press and let go of a key, by its name in KeyboardEvent.key."""
        code = KEY_CODES.get(key) or ord(key.upper())
        names = {'key': key, 'windowsVirtualKeyCode': code}
        text = {'text': key} if len(key) == 1 else {}
        self.call('Input.dispatchKeyEvent', type='keyDown', **names, **text)
        self.call('Input.dispatchKeyEvent', type='keyUp', **names)

    def save_screenshot(self, path: Path) -> None:
        """Write what the page shows as a PNG file."""
        shot = self.call('Page.captureScreenshot', format='png')
        path.write_bytes(base64.b64decode(shot['data']))


@contextmanager
def open_page(width: int = 1400, height: int = 900) -> Iterator[Page]:
    """Yield an empty page of a browser that is gone at the end of the block.

    Args:
        width: Of its window [px].
        height: Of its window [px].

    Raises:
        FileNotFoundError: No browser is installed.
        TimeoutError: It does not start.
    """
    browser = find_browser()
    if browser is None:
        raise FileNotFoundError(f'no browser; install one of {BROWSERS}')
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [
                browser, '--headless=new', '--no-sandbox', '--disable-dev-shm-usage',
                '--enable-unsafe-swiftshader', f'--window-size={width},{height}',
                f'--user-data-dir={folder}', '--remote-debugging-port=0', 'about:blank',
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with connect(_find_page(Path(folder)), max_size=None) as socket:
                yield Page(socket, process.pid)
        finally:
            process.terminate()
            process.wait(timeout=10.0)


def _find_page(folder: Path) -> str:
    """Return the address of the debugger of the first page.

    Raises:
        TimeoutError: There is none.
    """
    file, end_s = folder / 'DevToolsActivePort', time.monotonic() + START_S
    while time.monotonic() < end_s:
        if file.exists() and len(lines := file.read_text(encoding='utf-8').splitlines()) == 2:
            with connect(f'ws://127.0.0.1:{lines[0]}{lines[1]}') as socket:
                targets = Page(socket, 0).call('Target.getTargets')['targetInfos']
            pages = [target['targetId'] for target in targets if target['type'] == 'page']
            if pages:
                return f'ws://127.0.0.1:{lines[0]}/devtools/page/{pages[0]}'
        time.sleep(0.05)
    raise TimeoutError(f'the browser does not start within {START_S} s')
