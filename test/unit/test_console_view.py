# SPDX-License-Identifier: Apache-2.0
"""The 3D view of the console in a real browser, behind its door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
import time

import pytest

pytest.importorskip('viser')
pytest.importorskip('websockets')

from browser import find_browser, open_page
from cosmos_policy_ros.console.door import Access, Door
from cosmos_policy_ros.console.urdf import UrdfModel
from cosmos_policy_ros.console.view import View
from test_urdf_model import ARM, nowhere

PAGE = b'<iframe src="view/"></iframe>'
INSIDE = "document.querySelector('iframe')?.contentDocument"


@contextmanager
def opened() -> Iterator[tuple[View, Door]]:
    """Give a view of an arm behind a door."""
    view = View('arm')
    view.show_robot(UrdfModel(ARM, nowhere))
    door = Door('127.0.0.1', 0, PAGE, Access(), view.port, dict, lambda kind, value: None)
    try:
        yield view, door
    finally:
        door.close()
        view.close()


@pytest.mark.skipif(find_browser() is None, reason='no browser is installed')
def test_the_view_comes_up_in_a_browser(tmp_path: Path) -> None:
    """With its plots, and it knows that somebody looks."""
    with opened() as (view, door):
        assert not view.is_open
        view.add_plan(1.0, [0.25, 0.75], 0.75, 300.0)
        view.add_plan(2.0, [0.5, 0.5], 0.5, 310.0)
        with open_page(600, 400) as page:
            page.open(door.url)
            page.wait_for(f"{INSIDE}?.body?.innerText.includes('latency [ms]')")
            page.wait_for(f"{INSIDE}.querySelector('canvas') !== null")
            assert view.is_open
            view.move({'turn': 1.0})
            page.save_screenshot(tmp_path / 'view.png')
        assert (tmp_path / 'view.png').read_bytes().startswith(b'\x89PNG')


def test_a_robot_that_is_drawn_anew_may_move_meanwhile() -> None:
    """As when a driver publishes its description while somebody looks."""
    renamed = ARM.replace('"upper"', '"lower"')
    models = [UrdfModel(text, nowhere) for text in (renamed, ARM) * 20]
    assert {s.link for s in models[0].shapes} != {s.link for s in models[1].shapes}
    with opened() as (view, _):
        drawing = Thread(target=lambda: [view.show_robot(model) for model in models])
        drawing.start()
        while drawing.is_alive():
            view.move({'turn': 1.0})


def test_no_visitor_opens_a_tunnel_to_the_internet() -> None:
    """Which viser would, for whoever sends it the message for that."""
    with opened() as (view, _):
        began_s = time.monotonic()
        assert view._server.request_share_url() is None
        assert time.monotonic() - began_s < 0.1
